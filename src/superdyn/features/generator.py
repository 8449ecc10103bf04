"""Counter-based random numbers: a draw is a function of (seed, stream, position), not of earlier draws.

Philox4x64-10 (Salmon et al. 2011, NumPy's `Philox`) maps a 128-bit key and a 256-bit counter to a block of
four 64-bit words. Key = (seed, stream and tag); unit u of a stream (a sample, or a group of samples) owns the
blocks u·W … u·W + W - 1, W = ⌈words/4⌉, so any unit can be drawn alone, in any order, on any rank.
"""

import hashlib
from enum import IntEnum

import numpy as np
from jaxtyping import Float64

BLOCK_WORDS = 4
_COUNTER_VALUES = 2**256
_STREAM_BITS = 8


class Stream(IntEnum):
    """What the numbers are for; streams of one seed never overlap."""

    INIT = 0
    TRAIN = 1
    EVAL = 2


def key_words(seed: int, stream: Stream, tag: str = "") -> tuple[int, int]:
    """The two 64-bit words of the key of a sequence."""
    label = int.from_bytes(hashlib.sha256(tag.encode()).digest()[:7], "little") if tag else 0
    return seed, int(stream) | label << _STREAM_BITS


def _generator(seed: int, stream: Stream, tag: str, first_block: int) -> np.random.Generator:
    """A generator whose next word is the first of `first_block`."""
    key = np.array(key_words(seed, stream, tag), dtype=np.uint64)
    # NumPy increments the counter before it computes a block, the first one included.
    counter = (first_block - 1) % _COUNTER_VALUES
    return np.random.Generator(np.random.Philox(counter=counter, key=key))


def uniforms(
    seed: int, stream: Stream, first: int, count: int, words: int, tag: str = ""
) -> Float64[np.ndarray, "count words"]:
    """The uniform numbers of the units first … first + count - 1, one row a unit.

    Args:
        seed: the run's seed, 0 ≤ seed < 2^64.
        first: index of the first unit, counted from the start of training.
        words: numbers per unit; it fixes where units lie, so equal rows need equal `words`.
        tag: names a second, independent sequence within the stream.

    Returns:
        (count, words) float64 multiples of 2^-53 in [0, 1).
    """
    blocks = -(-words // BLOCK_WORDS)
    generator = _generator(seed, stream, tag, first * blocks)
    return generator.random((count, blocks * BLOCK_WORDS))[:, :words]


def normals(seed: int, shape: tuple[int, ...], tag: str) -> Float64[np.ndarray, "*shape"]:
    """Standard normal numbers for initial parameters, float64 of this shape; a function of (seed, tag)."""
    return _generator(seed, Stream.INIT, tag, first_block=0).standard_normal(shape)
