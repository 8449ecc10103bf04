"""Makes the runs of a sweep look as an older version of superdyn left them, whose schema lacked a key."""

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from superdyn.config import INCIDENTAL_FIELDS, RunConfig
from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_folder import run_folders


def age(sweep: Path, key: str, manifest: bool = True) -> dict[str, str]:
    """Take `key` out of every configuration, with the signature, records and folder name that go with it.

    Returns:
        The old signatures by folder name.
    """
    signatures, names = {}, {}
    for run in run_folders(sweep):
        mapping = run.config()
        assert mapping is not None
        flat = RunConfig.from_mapping(mapping).flat()
        signature = _old_signature({name: value for name, value in flat.items() if name != key})
        section, _, name = key.rpartition(".")
        del (mapping[section] if section else mapping)[name]
        text = yaml.safe_dump(mapping, sort_keys=False)
        (run.path / "config.yaml").write_text(text)
        digest = hashlib.sha256(text.encode()).hexdigest()
        edit(run.path / "environment.json", schema="that of an older version", config=digest)
        if (run.path / "status.json").exists():
            edit(run.path / "status.json", signature=signature)
        names[run.name] = f"{run.name[:-8]}{signature[:8]}" if manifest else run.name
        signatures[names[run.name]] = signature
        run.path.rename(run.path.with_name(names[run.name]))
    if manifest:
        points = json.loads((sweep / "sweep.json").read_text())["points"]
        for point in points:
            folder = names[point["folder"]]
            point |= {"schema": "that of an older version", "folder": folder, "signature": signatures[folder]}
        (sweep / "sweep.json").write_text(json.dumps({"points": points}))
    return signatures


def edit(path: Path, **entries: Any) -> None:
    """Replace entries of a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def trained_files(sweep: Path) -> dict[Path, int]:
    """When the curves of a sweep were written."""
    return {path: path.stat().st_mtime_ns for path in sweep.rglob("curve.parquet")}


def signature_in(run: RunFolder) -> str:
    """The signature in the run's status."""
    status = run.status()
    assert status is not None
    return status.signature


def _old_signature(flat: dict[str, Any]) -> str:
    def incidental(key: str) -> bool:
        return any(key == root or key.startswith(root + ".") for root in INCIDENTAL_FIELDS)

    identity = {key: value for key, value in flat.items() if not incidental(key)}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
