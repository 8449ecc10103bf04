"""A seeded pseudo-random order of n things, computed one place at a time and without memory.

A Feistel network of eight rounds over pairs (L, R) of numbers below ⌈√n⌉, (L, R) → (R, L + F(R) mod ⌈√n⌉), is a
bijection of a few more than n numbers; a place that falls outside is mapped again until it falls inside (cycle walking;
Black & Rogaway 2002). F is a 64-bit mixing function with a key from (seed, epoch). Axis legend: `i` place.
"""

import hashlib
import math
import struct

import numpy as np
from jaxtyping import Int64, UInt64

_ROUNDS = 8


def permuted(places: Int64[np.ndarray, "*i"], size: int, seed: int, epoch: int) -> Int64[np.ndarray, "*i"]:
    """Where each place of 0 … size − 1 goes in the order of (seed, epoch)."""
    assert size >= 1
    assert ((places >= 0) & (places < size)).all(), "places lie in the set that is ordered"
    keys = np.frombuffer(hashlib.blake2b(struct.pack("<QQ", seed, epoch), digest_size=8 * _ROUNDS).digest(), "<u8")
    side = np.uint64(math.isqrt(size - 1) + 1)
    found = _feistel(places.astype(np.uint64).ravel(), side, keys)
    while (outside := np.flatnonzero(found >= size)).size:
        found[outside] = _feistel(found[outside], side, keys)
    return found.astype(np.int64).reshape(places.shape)


def _feistel(x: UInt64[np.ndarray, "i"], side: np.uint64, keys: UInt64[np.ndarray, "k"]) -> UInt64[np.ndarray, "i"]:
    left, right = x // side, x % side
    for key in keys:
        left, right = right, (left + _mixed(right ^ key) % side) % side
    return left * side + right


def _mixed(x: UInt64[np.ndarray, "i"]) -> UInt64[np.ndarray, "i"]:
    """Every bit of the result depends on every bit of x (the finalizer of SplitMix64; Steele, Lea, Flood 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
