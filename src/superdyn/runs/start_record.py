"""What `environment.json` keeps of the checkpoint that a run started from: whose it is, and its files' SHA-256."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from superdyn.runs.hashed_file import hash_file
from superdyn.runs.manifest import Manifest


def recorded_start(config: Mapping[str, Any]) -> dict[str, Any]:
    """`{"start": {"run", "signature", "step", "files": {name: sha256}}}` of a run that starts from another, else empty.

    Files that the source's manifest lists are not read again.
    """
    start = config.get("start") or {}
    if start.get("run") is None or start.get("step") is None:
        return {}
    run, files = Path(start["run"]), {}
    with suppress(ValueError, OSError):  # what cannot be read is refused where it is loaded
        manifest = Manifest.read(run)
        for path in sorted(run.glob(f"checkpoints/step-{start['step']:010d}*.pt")):
            name = path.relative_to(run).as_posix()
            entry = None if manifest is None else manifest.files.get(name)
            files[name] = (entry or hash_file(path)).sha256
    return {"start": {key: start[key] for key in ("run", "signature", "step")} | {"files": files}}
