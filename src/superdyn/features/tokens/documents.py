"""Texts to make shards from: files, or a data set of Hugging Face, one document at a time.

A text file is one document, read in parts of about a million characters that end at a line break, so that a file of
any size fits in memory; a token never spans two parts. A data set gives one document a row.
"""

from collections.abc import Iterator, Sequence
from glob import glob
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from superdyn.config.validation import one_sentence
from superdyn.features.tokens.tokenizer import optional

PART_CHARACTERS = 2**20
_WILD = "*?["


class Part(NamedTuple):
    """A text, and whether its document ends with it."""

    text: str
    ends: bool


def documents(sources: Sequence[str], split: str, column: str, subset: str | None) -> Iterator[Part]:
    """The parts of every document, in order.

    Args:
        sources: text files and patterns; or one name, or folder, of a data set.
        split, column, subset: of the data set.

    Raises:
        ValueError: a source that is neither, text that is not UTF-8, or a split or column that is not there.
    """
    if len(sources) == 1 and not _names_files(sources[0]):
        yield from _rows(sources[0], split, column, subset)
        return
    for path in chain.from_iterable(map(_files, sources)):
        yield from _parts(path)


def _names_files(source: str) -> bool:
    return any(mark in source for mark in _WILD) or Path(source).is_file() or source.endswith(".txt")


def _files(source: str) -> list[Path]:
    """Raises ValueError where no file is."""
    found = [Path(name) for name in sorted(glob(source, recursive=True)) if Path(name).is_file()]
    found = [Path(source)] if Path(source).is_file() else found
    if not found:
        raise ValueError(f"SOURCE={source}: no text file there; text files, patterns or one data set are allowed.")
    return found


def _parts(path: Path) -> Iterator[Part]:
    """A part is held back until it is known whether another follows."""
    waiting: str | None = None
    try:
        with path.open(encoding="utf-8", newline="") as file:
            while lines := file.readlines(PART_CHARACTERS):
                if waiting is not None:
                    yield Part(waiting, ends=False)
                waiting = "".join(lines)
    except UnicodeDecodeError as error:
        raise ValueError(f"SOURCE={path}: is not UTF-8 text ({error.reason} at byte {error.start}).") from None
    if waiting is not None:
        yield Part(waiting, ends=True)


def _rows(source: str, split: str, column: str, subset: str | None) -> Iterator[Part]:
    """One document a row of a data set on disk or of the hub; the latter is streamed."""
    package: Any = optional("datasets", f"SOURCE={source}: is no text file, and a data set")
    data = _loaded(package, source, split, subset)
    names = list(data.features or next(iter(data), {}))
    if column not in names:
        raise ValueError(f"--text-column={column}: no column of {source}; allowed are {', '.join(names)}.")
    for row in data:
        if not isinstance(row[column], str):
            raise ValueError(f"--text-column={column}: holds {type(row[column]).__name__}; text is needed.")
        yield Part(row[column], ends=True)


def _loaded(package: Any, source: str, split: str, subset: str | None) -> Any:
    folder = Path(source)
    try:
        if (folder / "dataset_dict.json").is_file():
            found = package.load_from_disk(source)
            if split not in found:
                raise ValueError(f"split {split!r} is not one of {', '.join(found)}")
            return found[split]
        if (folder / "state.json").is_file():
            return package.load_from_disk(source)
        # A folder goes by its full path: as bare words, "text" or "parquet" mean readers of the package.
        name = str(folder.resolve()) if folder.is_dir() else source
        return package.load_dataset(name, subset, split=split, streaming=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"SOURCE={source}: cannot be loaded as a data set: {one_sentence(error)}.") from None
