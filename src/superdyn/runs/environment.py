"""Where a run was made: versions, the code as git sees it, host and start time, for `environment.json`.

None of it can change which run this is (that is the signature's matter); all of it may explain a difference, and
`runs/drift.py` says where it differs from the present.
"""

import functools
import platform
import socket
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from superdyn.config.targets import user_package
from superdyn.features.tokens.token_sequence import fingerprint
from superdyn.installed import installed_version
from superdyn.runs.code_state import code_state, keep_diff
from superdyn.runs.schema import schema_fingerprint
from superdyn.runs.start_record import recorded_start

RECORDED_PACKAGES = ("superdyn", "torch", "pytorch-lightning", "hydra-core", "wandb", "numpy", "scipy")

CODE_FOLDER = "code"

_CODE_KEYS = ("versions", "git", "packages")


def describe_environment(config: Mapping[str, Any]) -> dict[str, Any]:
    """Plain mapping: versions, code of superdyn and of the user's packages that `config` names, host, start time
    (UTC), the fingerprint of its token files, and the checkpoint that it started from.

    Args:
        config: the run's nested configuration.
    """
    packages = {name: code_state(name) for name in user_packages(config)}
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": dict(recorded_versions()),
        "git": git_state(),
        "packages": {name: state.record() for name, state in packages.items() if state is not None},
        "schema": schema_fingerprint(),
        **recorded_tokens(config),
        **recorded_start(config),
    }


def recorded_tokens(config: Mapping[str, Any]) -> dict[str, Any]:
    """`{"tokens": {"files": {"paths", "tokens", "sha256"}, …}}`: what lies in the token files of a run, if any."""
    tokens = (config.get("data") or {}).get("tokens") or {}
    found = {}
    for key in ("files", "eval_files"):
        if tokens.get("source") == "files" and tokens.get(key):
            with suppress(ValueError, OSError):  # what cannot be read is refused where it is trained on
                found[key] = {"paths": list(tokens[key])} | fingerprint(tokens[key])._asdict()
    return {"tokens": found} if found else {}


def continued(before: Mapping[str, Any] | None, now: dict[str, Any], resumes: bool) -> dict[str, Any]:
    """`now` for a run that `before` began, with its first signature.

    Args:
        resumes: there is a checkpoint, so a part of the run stays that other code may have made; under `earlier` it is
            then kept in mind.
    """
    if before is None:
        return now
    keys = ("first_signature", "earlier", "start") if resumes else ("first_signature",)
    kept = {key: before[key] for key in keys if key in before}
    code = {key: before.get(key) for key in _CODE_KEYS}
    if resumes and code != {key: now.get(key) for key in _CODE_KEYS}:
        kept["earlier"] = [*kept.get("earlier", []), code | {"started": before.get("started")}]
    return now | kept


def keep_code(config: Mapping[str, Any], folder: Path) -> None:
    """Store uncommitted changes of superdyn and of the user's packages once per sweep, or in a single run's folder."""
    for package in ("superdyn", *user_packages(config)):
        keep_diff(code_state(package), folder / CODE_FOLDER)


def user_packages(config: Mapping[str, Any]) -> list[str]:
    """The packages of the user's own from which a run's student, value law, update rule and measures come."""
    targets = [config.get("model", {}).get("_target_"), config.get("data", {}).get("value_law")]
    targets += [config.get("optimizer", {}).get("name"), *config.get("trainer", {}).get("measures", ())]
    found = [user_package(target) for target in targets if isinstance(target, str)]
    return sorted({package for package in found if package is not None})


@functools.cache
def recorded_versions() -> dict[str, str | None]:
    """Installed versions by distribution; None where one is imported from a folder of sources."""
    return {package: installed_version(package) for package in RECORDED_PACKAGES}


def git_state() -> dict[str, Any] | None:
    """`{"commit": hex, "dirty": bool, "diff": SHA-256 or None}` of superdyn's own source; None if no git tracks it."""
    state = code_state("superdyn")
    if state is None or state.commit is None:
        return None
    return {"commit": state.commit, "dirty": state.diff is not None, "diff": state.diff}
