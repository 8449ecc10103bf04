"""Atomic file replacement: a reader sees the old file or the new one, never a part of either.

The content goes to a temporary file in the same folder (a rename across file systems is a copy, and a copy
can be cut short), reaches the disk (`fsync`), and takes the final name in one step (`os.replace`).
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

TEMPORARY_PREFIX = ".partial-"
"""Readers skip names that start with this; a killed writer may leave one behind."""

ABANDONED_AFTER_SECONDS = 600.0
"""No write of ours lasts this long, so an older temporary file has no writer any more."""


def write_atomically(path: Path, write: Callable[[BinaryIO], object], *, durable: bool = True) -> None:
    """Give `path` the bytes that `write(file)` produces, all at once; its folder is made if absent.

    Of a file that can be made anew nobody need wait until it is on the disk: without `durable` it survives the end of
    its process, but perhaps not that of the machine.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{path.name}")
    try:
        with temporary.open("wb") as file:
            write(file)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str, *, durable: bool = True) -> None:
    """The same for a text."""
    write_atomically(path, lambda file: file.write(text.encode()), durable=durable)


def remove_abandoned(folder: Path) -> None:
    """Delete the temporary files that killed writers left in `folder` more than ten minutes ago."""
    now = time.time()
    for temporary in folder.glob(f"{TEMPORARY_PREFIX}*"):
        if now - temporary.stat().st_mtime > ABANDONED_AFTER_SECONDS:
            temporary.unlink(missing_ok=True)
