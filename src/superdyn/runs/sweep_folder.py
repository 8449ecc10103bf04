"""A sweep's folder: how run folders are named, and the list of the points it is meant to hold.

`sweep.json` lists every point that was ever launched into the folder, so that a point that has left no
trace counts as missing rather than forgotten. Launching a bigger grid into the same folder adds its points.
"""

import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from superdyn.atomic import write_text_atomically
from superdyn.runs.folder import SWEEP_FILE, RunFolder
from superdyn.runs.ownership import current_status
from superdyn.runs.schema import schema_fingerprint

MAX_NAME_LENGTH = 120
SIGNATURE_DIGITS = 8

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class SweepPoint:
    """One point of a sweep: its signature, its folder's name, the overrides that make it.

    `schema` is the fingerprint of the schema that gave the signature; empty where it was not recorded.
    """

    signature: str
    folder: str
    overrides: tuple[str, ...] = ()
    schema: str = ""


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


def read_points(sweep: str | Path) -> list[SweepPoint]:
    """The points launched into this folder, in launch order; empty if there is no list.

    A list that is not whole, e.g. because a copy of the folder was cut short, is made anew from the run folders,
    with a warning; points that never began are then forgotten until they are launched again.
    """
    path = Path(sweep) / SWEEP_FILE
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["points"]
        points = [SweepPoint(r["signature"], r["folder"], tuple(r["overrides"]), r.get("schema", "")) for r in rows]
    except (ValueError, KeyError, TypeError) as error:
        warnings.warn(f"{path} cannot be read and is rebuilt from the run folders: {error}", stacklevel=2)
        return [point for folder in run_folders(sweep) if (point := _point_in(folder)) is not None]
    for point in points:
        if point.folder in ("", ".", "..") or "/" in point.folder or os.sep in point.folder:
            raise ValueError(f"{path}: folder={point.folder!r} must be the name of a folder inside the sweep")
    return points


def _point_in(folder: RunFolder) -> SweepPoint | None:
    """The point whose run began in this folder, as its own files say."""
    status = current_status(folder)
    if status is None:
        return None
    with suppress(ValueError):  # without the record the run is read again where it matters
        return SweepPoint(status.signature, folder.name, schema=(folder.environment() or {}).get("schema", ""))
    return SweepPoint(status.signature, folder.name)


def add_points(sweep: str | Path, points: Iterable[SweepPoint]) -> None:
    """Add points, whose signatures are of the present schema, to the folder's list.

    A signature that is there already keeps its folder, and a folder its signature. Whoever launches holds the sweep's
    lock meanwhile (`ownership.py`).
    """
    known = read_points(sweep)
    merged, taken = {point.signature: point for point in known}, {point.folder for point in known}
    for point in points:
        if point.folder not in taken:
            merged.setdefault(point.signature, replace(point, schema=schema_fingerprint()))
    _write_points(sweep, merged.values())


def rename_points(sweep: str | Path, signatures: Mapping[str, str]) -> None:
    """Give the points in these folders the signature that the present schema gives the same runs."""
    points = [
        replace(point, signature=signatures[point.folder], schema=schema_fingerprint())
        if point.folder in signatures
        else point
        for point in read_points(sweep)
    ]
    _write_points(sweep, points)


def _write_points(sweep: str | Path, points: Iterable[SweepPoint]) -> None:
    content = json.dumps({"points": [asdict(point) for point in points]}, indent=1) + "\n"
    path = Path(sweep) / SWEEP_FILE
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != content:
        write_text_atomically(path, content)


def run_folders(path: str | Path) -> list[RunFolder]:
    """The run folders at `path`: itself if it is one, else those one level down, by the swept values in their names:
    numbers by size, then texts by alphabet.

    Raises:
        ValueError: `path` is not a folder.
    """
    root = Path(path)
    if not root.is_dir():
        raise ValueError(f"path={str(path)!r}: must be an existing run folder or sweep folder")
    if RunFolder(root).exists():
        return [RunFolder(root)]
    found = root.glob("[!.]*/config.yaml")
    return [RunFolder(root / name) for name in sorted((config.parent.name for config in found), key=_by_values)]


def _by_values(name: str) -> list[tuple[str, bool, float, str]]:
    """What sorts a folder's name: of each swept key itself and its value, then the whole name."""
    swept = re.sub(rf"-[0-9a-f]{{{SIGNATURE_DIGITS}}}$", "", name)
    places = []
    for key, _, value in (part.partition("=") for part in swept.split(",")):
        is_number = _NUMBER.fullmatch(value) is not None
        places.append((key, not is_number, float(value) if is_number else 0.0, value))
    return [*places, (name, True, 0.0, "")]
