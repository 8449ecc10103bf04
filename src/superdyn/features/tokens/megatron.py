"""Megatron's `.bin`/`.idx` pair, version 1: bare ids, and an index that says their type and where documents lie.

Index, little-endian: 9 bytes `MMIDIDX\\0\\0`, uint64 version, uint8 type code, uint64 number of sequences S, uint64
number of document bounds D, S int32 lengths, S int64 byte offsets, D int64 bounds (first sequence of each document, and
S at the end), and in multimodal data S int8 modes, which are not used. Layout as in
`megatron/core/datasets/indexed_dataset.py` of NVIDIA/Megatron-LM. Axis legend: `n` token, `q` sequence, `d` bound.
"""

import struct
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Integer

from superdyn.features.tokens.token_file import TokenFile, document_starts, mapped

MAGIC = b"MMIDIDX\x00\x00"
_OLD_MAGIC = b"TNTIDX\x00\x00"
_FIXED = struct.Struct("<QBQQ")
_CODES = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 8: "<u2"}
"""Type codes of integers; 6 and 7 are floating-point numbers, which are no ids."""


def index_path(path: Path) -> Path:
    """The index that belongs to a `.bin` file, there or not."""
    return path.with_suffix(".idx")


def read_megatron(path: Path) -> TokenFile:
    """Map the `.bin` of a pair.

    Raises:
        ValueError: the index is of another kind or cut short, or the `.bin` has another size than it says.
    """
    index = index_path(path)
    content = index.read_bytes()
    dtype, lengths, offsets, bounds = _parsed(index, content)
    if not np.array_equal(offsets, document_starts(lengths) * dtype.itemsize):
        raise ValueError(f"{index}: the byte offsets leave gaps between sequences; allowed are sequences end to end.")
    if len(bounds) == 0 or bounds[0] != 0 or bounds[-1] != len(lengths) or (np.diff(bounds) < 0).any():
        raise ValueError(f"{index}: the document bounds must ascend from 0 to the {len(lengths)} sequences.")
    count, size = int(lengths.sum(dtype=np.int64)), path.stat().st_size
    if size != count * dtype.itemsize:
        how = "was cut short" if size < count * dtype.itemsize else "is longer than its index says"
        raise ValueError(
            f"{path}: {how}: {index.name} counts {count} tokens, {count * dtype.itemsize} bytes, and it has {size}."
        )
    ends = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64)))
    return TokenFile(path, "megatron", mapped(path, dtype, 0, count), np.diff(ends[bounds]))


def _parsed(index: Path, content: bytes) -> tuple[np.dtype, np.ndarray, np.ndarray, np.ndarray]:
    """Type, sequence lengths, byte offsets and document bounds."""
    if not content.startswith(MAGIC):
        kind = "the older TNTIDX index" if content.startswith(_OLD_MAGIC) else "no Megatron index"
        raise ValueError(f"{index}: is {kind}; an .idx beside a .bin must start with {MAGIC[:7].decode()}.")
    if len(content) < len(MAGIC) + _FIXED.size:
        raise ValueError(f"{index}: was cut short: {len(content)} bytes do not hold its counts.")
    version, code, sequences, bounds = _FIXED.unpack_from(content, len(MAGIC))
    if version != 1:
        raise ValueError(f"{index}: version {version} is unknown; version 1 is allowed.")
    if code not in _CODES:
        raise ValueError(f"{index}: type code {code} is no integer type; allowed are {', '.join(map(str, _CODES))}.")
    start = len(MAGIC) + _FIXED.size
    expected = start + 12 * sequences + 8 * bounds
    if len(content) not in (expected, expected + sequences):
        raise ValueError(
            f"{index}: was cut short or damaged: {sequences} sequences and {bounds} document bounds take {expected} "
            f"bytes, and it has {len(content)}."
        )
    lengths = np.frombuffer(content, "<i4", sequences, start)
    offsets = np.frombuffer(content, "<i8", sequences, start + 4 * sequences)
    return np.dtype(_CODES[code]), lengths, offsets, np.frombuffer(content, "<i8", bounds, start + 12 * sequences)


def write_megatron_index(file: BinaryIO, dtype: np.dtype, lengths: Integer[np.ndarray, "q"]) -> None:
    """Write the index of documents of one sequence each.

    Raises:
        StopIteration: never for uint16 and int32, the types that Megatron itself writes.
    """
    code = next(code for code, name in _CODES.items() if np.dtype(name) == dtype)
    file.write(MAGIC + _FIXED.pack(1, code, len(lengths), len(lengths) + 1))
    file.write(lengths.astype("<i4").tobytes())
    file.write((document_starts(lengths) * dtype.itemsize).astype("<i8").tobytes())
    file.write(np.arange(len(lengths) + 1, dtype="<i8").tobytes())
