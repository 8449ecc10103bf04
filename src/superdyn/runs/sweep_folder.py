"""A sweep's folder: how run folders are named, and the manifest of the points it is meant to hold.

`sweep.json` lists every point that was ever launched into the folder, so that a point that has left no
trace counts as missing rather than forgotten. Launching a bigger grid into the same folder adds its points.
"""

import json
import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from superdyn.atomic import write_atomically
from superdyn.runs.folder import RunFolder
from superdyn.runs.ownership import current_status

MANIFEST = "sweep.json"
MAX_NAME_LENGTH = 120
SIGNATURE_DIGITS = 8


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep: its signature, its folder's name and the overrides that make it."""

    signature: str
    folder: str
    overrides: tuple[str, ...] = ()


def run_folder_name(swept: Mapping[str, str], signature: str) -> str:
    """`<swept keys in short>-<first 8 of the signature>`, e.g. `width=256,seed=3-1a2b3c4d`.

    Args:
        swept: the swept keys (dotted) and their values as text, in the order of the command line.
        signature: hex digest of the run's configuration.

    Returns:
        A name of at most 120 characters out of letters, digits and `._=,+-`. A long list of keys is cut;
        the signature keeps the name unique.
    """
    short = _short_keys(list(swept))
    readable = ",".join(f"{short[key]}={value}" for key, value in swept.items()) or "run"
    safe = re.sub(r"[^A-Za-z0-9._=,+-]+", "_", readable).lstrip(".-")
    suffix = f"-{signature[:SIGNATURE_DIGITS]}"
    return safe[: MAX_NAME_LENGTH - len(suffix)].rstrip(",") + suffix


def _short_keys(keys: list[str]) -> dict[str, str]:
    """The last part of each dotted key, or the whole key where two would look the same."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return {key: name if list(last.values()).count(name) == 1 else key for key, name in last.items()}


def read_manifest(sweep: str | Path) -> list[SweepPoint]:
    """The points launched into this folder, in launch order; empty if there is no manifest.

    A manifest that is not whole, e.g. because a copy of the folder was cut short, is made anew from the run folders,
    with a warning; points that never began are then forgotten until they are launched again.
    """
    path = Path(sweep) / MANIFEST
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["points"]
        return [SweepPoint(r["signature"], r["folder"], tuple(r["overrides"])) for r in rows]
    except (ValueError, KeyError, TypeError) as error:
        warnings.warn(f"{path} cannot be read and is made anew from the run folders: {error}", stacklevel=2)
        found = [(folder.name, current_status(folder)) for folder in run_folders(sweep)]
        return [SweepPoint(status.signature, name) for name, status in found if status is not None]


def merge_manifest(sweep: str | Path, points: Iterable[SweepPoint]) -> list[SweepPoint]:
    """Add points to the folder's manifest; a signature that is there already keeps its folder.

    Returns:
        All points of the folder. Whoever launches holds the sweep's lock meanwhile (`ownership.py`).
    """
    merged = {point.signature: point for point in read_manifest(sweep)}
    for point in points:
        merged.setdefault(point.signature, point)
    content = json.dumps({"points": [asdict(point) for point in merged.values()]}, indent=1) + "\n"
    write_atomically(Path(sweep) / MANIFEST, lambda file: file.write(content.encode()))
    return list(merged.values())


def run_folders(path: str | Path) -> list[RunFolder]:
    """The run folders at `path`: itself if it is one, else those one level down, sorted by name.

    Raises:
        ValueError: `path` is not a folder.
    """
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"path={str(path)!r}: must be an existing run folder or sweep folder")
    if RunFolder(root).exists():
        return [RunFolder(root)]
    return [RunFolder(config.parent) for config in sorted(root.glob("[!.]*/config.yaml"))]
