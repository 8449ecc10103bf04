"""Raw shards (nanoGPT): nothing but little-endian uint16 ids, one after the other.

The format has no header, so a lost tail shows only as an odd number of bytes, or against the count in `tokens.json`.
A raw file is what no other format claims; files that are plainly something else are refused by name.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Integer

from superdyn.features.tokens.token_file import TokenFile, mapped

DTYPE = np.dtype("<u2")

_FOREIGN = {
    b"\x93NUMPY": "a NumPy array file",
    b"PK\x03\x04": "a zip archive, as torch.save writes",
    b"\x1f\x8b": "a gzip file",
    b"PAR1": "a parquet file",
    b"ARROW1": "an Arrow file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
}
_LOOKED_AT, _ENOUGH_TO_JUDGE = 4096, 64


def read_raw(path: Path) -> TokenFile:
    """Map a raw shard.

    Raises:
        ValueError: an odd number of bytes, no tokens, or content of another kind.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        kind = _other_kind(file.read(_LOOKED_AT))
    if kind:
        raise ValueError(f"{path}: is {kind}; allowed are raw uint16 tokens, headered shards and Megatron .bin/.idx.")
    if size % DTYPE.itemsize:
        raise ValueError(
            f"{path}: has {size} bytes, an odd number, so it was cut short or is not raw uint16 tokens (2 bytes each)."
        )
    return TokenFile(path, "raw", mapped(path, DTYPE, 0, size // DTYPE.itemsize))


def write_raw(file: BinaryIO, ids: Integer[np.ndarray, "n"]) -> None:
    """Write ids that are stored as uint16 already."""
    file.write(ids.astype(DTYPE, casting="equiv").tobytes())


def _other_kind(head: bytes) -> str | None:
    """What the content is if it is plainly not 16-bit ids."""
    for magic, kind in _FOREIGN.items():
        if head.startswith(magic):
            return kind
    if len(head) < _ENOUGH_TO_JUDGE:
        return None
    if all(byte >= 0x20 or byte in b"\t\n\r" for byte in head) and _is_utf8(head):
        return "text; superdyn tokens makes shards from it"
    words = np.frombuffer(head[: len(head) // 4 * 4], dtype=DTYPE).reshape(-1, 2)
    # The high halves of 32-bit ids of a vocabulary below 2^18.
    if words[:, 1].max() <= 3 and words[:, 0].max() >= 256:
        return "32-bit tokens without a header (every second 16-bit word is at most 3)"
    return None


def _is_utf8(head: bytes) -> bool:
    """Whether the bytes are UTF-8 but for a character that the cut may have split."""
    text = head.decode("utf-8", errors="replace")
    return "\N{REPLACEMENT CHARACTER}" not in text[:-1]
