"""Philox4x64-10 in torch integers: the words of `generator.uniforms`, bit for bit, on any device.

Unsigned 64-bit words are held as int64, whose products wrap like unsigned ones; the high half of a product is put
together from 32-bit halves (Salmon, Moraes, Dror, Shaw 2011). Axis legend: `b` block of four words.
"""

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

_MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
_WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_ROUNDS = 10
_LOW = 0xFFFFFFFF


def signed(word: int) -> int:
    """The int64 of the same 64 bits."""
    return (word & (2**64 - 1)) - 2**64 * (word >> 63 & 1)


def philox_uniforms(
    blocks: Int64[Tensor, "*b"], key_low: Int64[Tensor, "*b"], key_high: Int64[Tensor, "*b"]
) -> Float64[Tensor, "*b 4"]:
    """The four uniform numbers in [0, 1) of every block of a stream, multiples of 2^-53.

    `key_low` and `key_high` are the two words of the key, broadcast against `blocks`.
    """
    zero = torch.zeros_like(blocks)
    x0, x1, x2, x3 = blocks, zero, zero, zero
    for _ in range(_ROUNDS):
        high0, low0 = _product(x0, _MULTIPLIERS[0])
        high1, low1 = _product(x2, _MULTIPLIERS[1])
        x0, x1, x2, x3 = high1 ^ x1 ^ key_low, low1, high0 ^ x3 ^ key_high, low0
        key_low, key_high = key_low + signed(_WEYL[0]), key_high + signed(_WEYL[1])
    words = torch.stack([x0, x1, x2, x3], dim=-1)
    return ((words >> 11) & (2**53 - 1)).double() * 2.0**-53


def _product(x: Tensor, multiplier: int) -> tuple[Tensor, Tensor]:
    """High and low word of an unsigned product."""
    m_high, m_low = multiplier >> 32, multiplier & _LOW
    x_high, x_low = (x >> 32) & _LOW, x & _LOW
    low_low, low_high, high_low = x_low * m_low, x_high * m_low, x_low * m_high
    middle = ((low_low >> 32) & _LOW) + (low_high & _LOW) + (high_low & _LOW)
    high = x_high * m_high + ((low_high >> 32) & _LOW) + ((high_low >> 32) & _LOW) + (middle >> 32)
    return high, x * signed(multiplier)
