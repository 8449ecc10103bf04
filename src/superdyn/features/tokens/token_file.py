"""A memory-mapped token file, and what its ids may be: below the vocabulary size, and within the type that stores them.

NumPy wraps an id of 65,536 to 0 in uint16 without a word, and an id beyond the vocabulary crashes a GPU or trains
another token's row; so ids are checked when they are written and once when they are read. Axis legend: `n` token,
`d` document.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int64, Integer

CHUNK_TOKENS = 2**22
"""Tokens looked at in one go: the check and the counts stream through a file of any size."""


@dataclass(frozen=True)
class TokenFile:
    """The tokens of one file as a memory map.

    Attributes:
        path: the file with the tokens.
        format: `raw`, `headered` or `megatron`.
        tokens: (n,) in the stored type; nothing is read until it is indexed.
        lengths: (d,) tokens of each document, where the format records them.
    """

    path: Path
    format: str
    tokens: Integer[np.ndarray, "n"]
    lengths: Integer[np.ndarray, "d"] | None = None

    @property
    def dtype(self) -> np.dtype:
        """The stored type."""
        return self.tokens.dtype


def mapped(path: Path, dtype: np.dtype, offset: int, count: int) -> Integer[np.ndarray, "n"]:
    """`count` numbers of the file from the byte `offset` on, as a read-only map.

    Raises:
        ValueError: there are none.
    """
    if count == 0:
        raise ValueError(f"{path}: holds no tokens; at least one is needed.")
    return np.memmap(path, dtype=dtype, mode="r", offset=offset, shape=(count,))


def check_ids(file: TokenFile, vocabulary_size: int) -> None:
    """Look at every id, in chunks; a type that cannot hold a wrong id is not looked at.

    Raises:
        ValueError: the first id that is not one of 0 … V − 1.
    """
    bounds = np.iinfo(file.dtype)
    if bounds.min >= 0 and bounds.max < vocabulary_size:
        return
    for start in range(0, len(file.tokens), CHUNK_TOKENS):
        chunk = file.tokens[start : start + CHUNK_TOKENS]
        if int(chunk.max()) >= vocabulary_size or int(chunk.min()) < 0:
            first = int(np.flatnonzero((chunk >= vocabulary_size) | (chunk < 0))[0])
            raise ValueError(
                f"{file.path}: token {start + first} has id {chunk[first]}; a vocabulary of {vocabulary_size} allows "
                f"ids 0 to {vocabulary_size - 1}."
            )


def stored(ids: Integer[np.ndarray, "n"], dtype: np.dtype, path: Path) -> Integer[np.ndarray, "n"]:
    """The ids in the type of a file, without wrapping.

    Raises:
        ValueError: an id that the type cannot hold.
    """
    bounds = np.iinfo(dtype)
    for extreme in (int(ids.min()), int(ids.max())) if len(ids) else ():
        if not bounds.min <= extreme <= bounds.max or extreme < 0:
            raise ValueError(f"{path}: id {extreme} does not fit {dtype}, which holds ids 0 to {bounds.max}.")
    return ids.astype(dtype)


def document_starts(lengths: Integer[np.ndarray, "d"]) -> Int64[np.ndarray, "d"]:
    """Index of the first token of each document."""
    return np.cumsum(lengths, dtype=np.int64) - lengths
