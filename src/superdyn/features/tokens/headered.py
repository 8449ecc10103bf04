"""Headered shards (llm.c, modded-nanogpt): 256 int32 and then the ids.

Header: magic, version, number of tokens, zeros. Magic 20240520, version 1: uint16 ids (GPT-2); magic 20240801, version
7: uint32 ids (Llama-3). Little-endian. Layout as in `dev/data/data_common.py` of karpathy/llm.c.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Integer

from superdyn.features.tokens.token_file import TokenFile, mapped

HEADER_WORDS = 256
HEADER_BYTES = 4 * HEADER_WORDS
KINDS = {20240520: (1, np.dtype("<u2")), 20240801: (7, np.dtype("<u4"))}
"""Magic → (version, type of an id)."""

MOST_TOKENS = 2**31 - 1
"""The count is an int32."""

_EVALUATION_MAGIC = 20240522


def magic_of(path: Path) -> int | None:
    """The magic number, if the file starts with one of this family; the evaluation files of llm.c included."""
    with path.open("rb") as file:
        word = int.from_bytes(file.read(4), "little")
    return word if word in KINDS or word == _EVALUATION_MAGIC else None


def read_headered(path: Path) -> TokenFile:
    """Map a headered shard.

    Raises:
        ValueError: an evaluation file, an unknown version, or a size that differs from what the header says.
    """
    size = path.stat().st_size
    header = np.fromfile(path, dtype="<i4", count=min(HEADER_WORDS, size // 4))
    magic = int(header[0])
    if magic == _EVALUATION_MAGIC:
        raise ValueError(
            f"{path}: magic {magic} marks a multiple-choice evaluation file; magics {_listed(KINDS)} hold tokens."
        )
    if size < HEADER_BYTES:
        raise ValueError(f"{path}: has {size} bytes and was cut short: the header alone takes {HEADER_BYTES}.")
    (version, dtype), count = KINDS[magic], int(header[2])
    if header[1] != version:
        raise ValueError(f"{path}: version {header[1]} of magic {magic} is unknown; version {version} is allowed.")
    expected = HEADER_BYTES + count * dtype.itemsize
    if count < 0 or size != expected:
        how = "was cut short" if size < expected else "does not end where it should"
        raise ValueError(f"{path}: {how}: its header counts {count} tokens, {expected} bytes, and it has {size} bytes.")
    return TokenFile(path, "headered", mapped(path, dtype, HEADER_BYTES, count))


def write_headered(file: BinaryIO, ids: Integer[np.ndarray, "n"]) -> None:
    """Write ids that are stored as uint16 or uint32 already; their type chooses the magic."""
    (magic, version), dtype = next(
        ((magic, version), dtype) for magic, (version, dtype) in KINDS.items() if dtype.itemsize == ids.itemsize
    )
    header = np.zeros(HEADER_WORDS, dtype="<i4")
    header[:3] = magic, version, len(ids)
    file.write(header.tobytes())
    file.write(ids.astype(dtype, casting="equiv").tobytes())


def _listed(kinds: dict) -> str:
    return " and ".join(map(str, kinds))
