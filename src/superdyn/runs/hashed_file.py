"""Bytes and SHA-256 of a file, taken while it is written or by reading it in blocks.

A checkpoint is digested on its way to the disk, so that a large one is not read a second time.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from superdyn.atomic import write_atomically

BLOCK_BYTES = 2**20


class Entry(NamedTuple):
    """What a file must be: its length and the SHA-256 of its bytes in hexadecimal."""

    bytes: int
    sha256: str


class _HashingFile:
    """Digests what is written through it; has what `torch.save` and `file.write` need of a file."""

    def __init__(self, file: BinaryIO):
        self._file, self._digest, self._bytes = file, hashlib.sha256(), 0

    def write(self, data: bytes | memoryview) -> int:
        self._digest.update(data)
        self._bytes += memoryview(data).nbytes
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def entry(self) -> Entry:
        return Entry(self._bytes, self._digest.hexdigest())


def write_hashed(path: Path, write: Callable[[Any], object]) -> Entry:
    """As `write_atomically`; returns the length and digest of what `write(file)` wrote."""
    entries: list[Entry] = []

    def digested(file: BinaryIO) -> None:
        hashing = _HashingFile(file)
        write(hashing)
        entries.append(hashing.entry())

    write_atomically(path, digested)
    return entries[0]


def hash_file(path: Path, advance: Callable[[int], object] | None = None) -> Entry:
    """Length and digest of a file on disk; `advance` is told the bytes of every block that was read."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb", buffering=0) as file:
        block = memoryview(bytearray(max(1, min(BLOCK_BYTES, os.fstat(file.fileno()).st_size))))
        while count := file.readinto(block):
            digest.update(block[:count])
            size += count
            if advance is not None:
                advance(count)
    return Entry(size, digest.hexdigest())
