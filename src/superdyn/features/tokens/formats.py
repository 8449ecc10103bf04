"""Which of the three formats a `.bin` file is: decided by what lies in it and beside it, never by its name.

An `.idx` beside it makes it Megatron's, a magic number makes it a headered shard, everything else must be raw uint16.
A raw file whose first two ids happen to be a magic number, 55,432 and 308 (GPT-2 has no id 55,432), is refused for its
size rather than misread.
"""

from pathlib import Path

import numpy as np

from superdyn.features.tokens.headered import magic_of, read_headered
from superdyn.features.tokens.megatron import MAGIC, index_path, read_megatron
from superdyn.features.tokens.raw import read_raw
from superdyn.features.tokens.token_file import TokenFile

FORMATS = ("headered", "raw", "megatron")

_MOST_IN_UINT16 = 2**16
_MEGATRON_UINT16 = 65_500
"""Megatron's own bound for uint16."""


def open_tokens(path: Path) -> TokenFile:
    """Map a token file; of a Megatron pair either file may be named.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no token file, or was cut short.
    """
    if path.suffix == ".idx":
        path = path.with_suffix(".bin")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; a token file is needed.")
    if index_path(path).is_file():
        return read_megatron(path)
    if magic_of(path) is not None:
        return read_headered(path)
    with path.open("rb") as file:
        if file.read(len(MAGIC)) == MAGIC:
            raise ValueError(f"{path}: is a Megatron index; it belongs beside its .bin, with the suffix .idx.")
    return read_raw(path)


def storage_type(format: str, vocabulary_size: int) -> np.dtype:
    """The type in which a format stores the ids of a vocabulary.

    Raises:
        ValueError: an unknown format, or a vocabulary too large for it.
    """
    if format not in FORMATS:
        raise ValueError(f"format={format!r}: unknown; allowed are {', '.join(FORMATS)}.")
    if not 1 <= vocabulary_size <= 2**31:
        raise ValueError(f"vocabulary_size={vocabulary_size}: must be at least 1 and at most 2147483648.")
    if format == "megatron":
        return np.dtype("<u2" if vocabulary_size < _MEGATRON_UINT16 else "<i4")
    if vocabulary_size <= _MOST_IN_UINT16:
        return np.dtype("<u2")
    if format == "raw":
        raise ValueError(
            f"format=raw: stores ids as uint16, up to a vocabulary of {_MOST_IN_UINT16}, and this one has "
            f"{vocabulary_size}; use headered or megatron."
        )
    return np.dtype("<u4")
