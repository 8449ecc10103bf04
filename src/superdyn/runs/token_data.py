"""Whether the token files that a run names still hold what it was trained on.

The signature of a run has the paths of its files only; `environment.json` has the fingerprint of what lay there when
the run began. Files that are not here, and runs from before it was recorded, cannot be compared.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from superdyn.config import ConfigError
from superdyn.features.tokens.token_sequence import Fingerprint, fingerprint
from superdyn.runs.folder import RunFolder


def check_tokens_unchanged(done: Sequence[RunFolder], resumed: Sequence[RunFolder]) -> None:
    """Warn of done runs whose token files hold other tokens by now.

    Raises:
        ConfigError: a run that was begun would go on with other tokens.
    """
    for folder, key, paths in _changed(resumed):
        if any(folder.checkpoints.glob("step-*.pt")):
            raise ConfigError(
                f"data.tokens.{key}={paths}: hold other tokens than when {folder.path} was begun; allowed are the "
                f"tokens of then, or delete that folder to train anew."
            )
    changed = {folder.name: paths for folder, _, paths in _changed(done)}
    if changed:
        share = f"{len(changed)} of {len(done)} done runs {'was' if len(changed) == 1 else 'were'}"
        warnings.warn(
            f"{share} trained or measured on other tokens than {next(iter(changed.values()))} hold now: they are kept; "
            f"delete their folders to train them again",
            stacklevel=2,
        )


def _changed(folders: Iterable[RunFolder]) -> Iterable[tuple[RunFolder, str, list[str]]]:
    for folder in folders:
        recorded: Mapping[str, Any] = {}
        with suppress(ValueError):  # a damaged record says nothing against the run
            recorded = (folder.environment() or {}).get("tokens") or {}
        for key, then in recorded.items():
            with suppress(ValueError, OSError):
                if fingerprint(then["paths"]) != Fingerprint(then["tokens"], then["sha256"]):
                    yield folder, key, then["paths"]
