"""`manifest.json` of a run folder: length and SHA-256 of its files, so that a copy can be compared with the original.

Checkpoints, and the revisions of an evaluation, are listed as soon as they are written; everything else when the run
ends, be it done, failed or interrupted, and the manifest is then complete. A file is not listed while it is replaced or
deleted: first it leaves the list. So a kill at any moment leaves files without an entry, which the next process to take
the run up enters, and no entry that its file contradicts. `status.json` and `wandb/` are never listed.
"""

import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, Literal, NamedTuple

from superdyn.atomic import write_text_atomically
from superdyn.runs.hashed_file import Entry, hash_file

MANIFEST_FILE = "manifest.json"
FORMAT = 1

STEADY = ("checkpoints/step-*.pt", "revisions/*.parquet")
"""Files that are final once they are written."""

CLOSING = (
    "config.yaml", "environment.json", "curve.parquet", "spectrum.parquet", "bins.parquet", "result.json",
    "code/*.diff",
)  # fmt: skip
"""Files that are final when the run ends."""


@dataclass(frozen=True)
class Manifest:
    """The content of `manifest.json`.

    Attributes:
        signature: of the run; `earlier`: those that older schemas gave it, which its older checkpoints carry.
        files: entries by name relative to the run folder.
        complete: whether the run had ended and every file of it was listed.
        start: the checkpoint of another run that it started from, as `environment.json` has it (`start_record.py`).
    """

    signature: str
    files: Mapping[str, Entry] = field(default_factory=dict)
    complete: bool = False
    earlier: tuple[str, ...] = ()
    start: Mapping[str, Any] | None = None

    @classmethod
    def read(cls, run: Path) -> "Manifest | None":
        """The manifest of a run folder, None where there is none.

        Raises:
            ValueError: it is not whole, or of a later format.
        """
        path = run / MANIFEST_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] != FORMAT:
                raise ValueError(f"format={content['format']!r}, and this version reads {FORMAT}")
            files = {_inside(name): Entry(row["bytes"], row["sha256"]) for name, row in content["files"].items()}
            earlier, start = tuple(content["earlier"]), content.get("start")
            return cls(content["signature"], files, content["complete"], earlier, start)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (ValueError, KeyError, TypeError, AttributeError, OSError) as error:
            raise ValueError(f"{path} cannot be read, it may be cut short: {error}") from error

    def write(self, run: Path) -> None:
        """Replace the manifest of a run folder; while the run goes on, training does not wait for the disk."""
        files = {name: entry._asdict() for name, entry in sorted(self.files.items())}
        content = {"format": FORMAT, "signature": self.signature, "earlier": self.earlier, "complete": self.complete}
        content |= {} if self.start is None else {"start": self.start}
        text = json.dumps(content | {"files": files}, indent=1) + "\n"
        write_text_atomically(run / MANIFEST_FILE, text, durable=self.complete)

    def named(self, signature: str) -> "Manifest":
        """The manifest of the same run under the signature that the present schema gives it."""
        if signature == self.signature:
            return self
        return replace(self, signature=signature, earlier=(*self.earlier, self.signature))


def reopen(run: Path, signature: str) -> None:
    """Before a run begins or goes on: only files that stay are listed, and each of them that is there is."""
    manifest, steady = _current(run), _found(run, STEADY)
    if manifest is None and not steady:
        return
    before = manifest or Manifest(signature)
    files = {name: entry for name, entry in before.files.items() if is_steady(name)}
    files |= {name: hash_file(run / name) for name in steady if name not in files}
    now = replace(before.named(signature), files=files, complete=False)
    if now != manifest:
        now.write(run)


def enter(
    run: Path, entries: Mapping[str, Entry], signature: str = "", leaving: Callable[[str], bool] = lambda name: False
) -> None:
    """List files that were just written, and take those off the list that are about to be deleted.

    Args:
        run: the run folder.
        entries: by name relative to it.
        signature: of the run, for a manifest that begins here.
        leaving: whether the file of this name, listed or not, goes.
    """
    manifest = _current(run)
    if manifest is None and not entries:
        return
    if manifest is None:
        others = [name for name in _found(run, STEADY) if name not in entries and not leaving(name)]
        manifest = Manifest(signature, {name: hash_file(run / name) for name in others})
    files = {name: entry for name, entry in {**manifest.files, **entries}.items() if not leaving(name)}
    if files != manifest.files:
        replace(manifest, files=files).write(run)


def withdraw(run: Path, *names: str) -> bool:
    """Take files off the list because they are about to be replaced; returns whether the manifest was complete."""
    manifest = _current(run)
    if manifest is None or not (manifest.complete or any(name in manifest.files for name in names)):
        return False
    files = {name: entry for name, entry in manifest.files.items() if name not in names}
    replace(manifest, files=files, complete=False).write(run)
    return manifest.complete


def seal(run: Path, signature: str | None = None) -> None:
    """List every file of a run that has ended; what is listed already keeps its entry.

    Args:
        run: the run folder.
        signature: of the run; the one in the manifest where it is left out.
    """
    manifest = _current(run) or Manifest(signature or "")
    files = {name: hash_file(run / name) for name in found_files(run) if name not in manifest.files}
    named = manifest if signature is None else manifest.named(signature)
    now = replace(named, files={**manifest.files, **files}, complete=True, start=_start(run))
    if now != manifest or not manifest.complete:
        now.write(run)


def damage(run: Path, name: str) -> str | None:
    """Why a listed file is not what was written; None if it is, is not listed, or is not there."""
    try:
        manifest = Manifest.read(run)
    except ValueError:
        return None
    path = run / name
    if manifest is None or name not in manifest.files or not path.is_file():
        return None
    found = difference(path, manifest.files[name])
    return None if found is None else f"it is {found.kind}: {found.text}"


class Difference(NamedTuple):
    """How a file differs from its entry: in a word or two, and in figures."""

    kind: Literal["cut short", "too long", "altered"]
    text: str


def difference(path: Path, entry: Entry, advance: Callable[[int], object] | None = None) -> Difference | None:
    """How a file that is there differs from its entry; None if it does not. Of another length it is not read."""
    size = path.stat().st_size
    if size != entry.bytes:
        return Difference("cut short" if size < entry.bytes else "too long", f"{size:,} bytes of {entry.bytes:,}")
    if hash_file(path, advance) != entry:
        return Difference("altered", f"its SHA-256 is not the one in {MANIFEST_FILE}")
    return None


def found_files(run: Path) -> list[str]:
    """Names of the files of a run that its manifest lists once it is complete."""
    return _found(run, STEADY + CLOSING)


def is_steady(name: str) -> bool:
    """Whether the file of this name is final once it is written."""
    return any(fnmatch(name, pattern) for pattern in STEADY)


def _current(run: Path) -> Manifest | None:
    """The manifest as it is to be changed; one that is not whole is made anew."""
    try:
        return Manifest.read(run)
    except ValueError as error:
        warnings.warn(f"{error}; it is rebuilt from the files that are there", stacklevel=3)
        return None


def _found(run: Path, patterns: tuple[str, ...]) -> list[str]:
    return sorted(path.relative_to(run).as_posix() for pattern in patterns for path in run.glob(pattern))


def _start(run: Path) -> Mapping[str, Any] | None:
    try:
        return json.loads((run / "environment.json").read_text(encoding="utf-8")).get("start")
    except (OSError, ValueError, AttributeError):
        return None


def _inside(name: str) -> str:
    """The name, which must lie in the run folder: a folder may come from a stranger."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"file {name!r}: must be the name of a file in the run folder")
    return name
