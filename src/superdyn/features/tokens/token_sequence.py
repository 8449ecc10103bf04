"""Open shards as one sequence of tokens, and its fingerprint, by which a run knows its data again.

A path says nothing of what lies there. The fingerprint is the number of tokens and a SHA-256 of blocks of them at even
distances: of all tokens up to 2 million, of 2 million of a larger corpus. It does not depend on how the tokens are
divided into shards or on their format, as the training windows do not. Imports no torch. Axis legend: `n` token.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64

from superdyn.features.tokens.formats import open_tokens
from superdyn.features.tokens.shards import shard_paths
from superdyn.features.tokens.token_file import TokenFile

_BLOCKS, _BLOCK_TOKENS = 64, 2**15


class TokenSequence:
    """The tokens of all shards, one after the other."""

    def __init__(self, shards: Sequence[TokenFile]) -> None:
        self.shards = list(shards)
        self._ends = np.cumsum([len(file.tokens) for file in self.shards], dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def read(self, start: int, count: int) -> Int64[np.ndarray, "n"]:
        """The tokens start … start + count − 1, across shards."""
        assert 0 <= start <= start + count <= len(self)
        tokens = np.empty(count, dtype=np.int64)
        done, shard = 0, int(np.searchsorted(self._ends, start, side="right"))
        while done < count:
            file = self.shards[shard].tokens
            first = start + done - int(self._ends[shard]) + len(file)
            part = file[first : first + count - done]
            tokens[done : done + len(part)] = part
            done, shard = done + len(part), shard + 1
        return tokens


class Fingerprint(NamedTuple):
    """Of a sequence of tokens: how many there are, and the digest of blocks of them, in hexadecimal."""

    tokens: int
    sha256: str


def fingerprint(files: Sequence[str]) -> Fingerprint:
    """Of the tokens that these files, folders or patterns hold.

    Raises:
        FileNotFoundError: there is no shard.
        ValueError: one is no token file, or was cut short.
    """
    paths = tuple(path.resolve() for path in shard_paths(files))
    stamps = tuple((path, stat.st_size, stat.st_mtime_ns) for path in paths if path.exists() for stat in [path.stat()])
    if stamps not in _known:
        _known[stamps] = _fingerprint(paths)
    return _known[stamps]


_known: dict[tuple[tuple[Path, int, int], ...], Fingerprint] = {}
"""A sweep asks for the same files at every run."""


def _fingerprint(paths: Sequence[Path]) -> Fingerprint:
    sequence, digest = TokenSequence([open_tokens(path) for path in paths]), hashlib.sha256()
    size = min(_BLOCK_TOKENS, len(sequence))
    for start in np.unique(np.linspace(0, len(sequence) - size, _BLOCKS).astype(np.int64)):
        digest.update(sequence.read(int(start), size).astype("<u4").tobytes())
    return Fingerprint(len(sequence), digest.hexdigest())
