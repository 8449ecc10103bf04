"""Independent tokens with Zipf frequencies: p_v = v^-a / Σ_w w^-a for the ranks v = 1…V; id = rank − 1.

Nothing in the past helps to predict the next token, so the best cross-entropy is the entropy of the frequencies.
Axis legend: `v` token of the vocabulary, `t` position.
"""

import math

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from superdyn.features.probabilities import feature_probabilities


def entropy(p: Float64[np.ndarray, "..."]) -> float:
    """−Σ p ln p in nats, with 0 ln 0 = 0."""
    return -float(np.sum(p * np.log(p, out=np.zeros_like(p), where=p > 0)))


def borders(p: Float64[np.ndarray, "v"]) -> Float64[np.ndarray, "inner"]:
    """The V − 1 places at which [0, 1) is cut into intervals of these lengths."""
    sums = np.cumsum(p)
    return sums[:-1] / sums[-1]


def zipf_frequencies(vocabulary_size: int, exponent: float) -> Float64[np.ndarray, "v"]:
    """p_v ∝ v^-a.

    Raises:
        ValueError: no vocabulary, or an exponent that is not a number ≥ 0.
    """
    if vocabulary_size < 1:
        raise ValueError(f"vocabulary_size={vocabulary_size}: must be at least 1.")
    if not (exponent >= 0 and math.isfinite(exponent)):
        raise ValueError(f"exponent={exponent}: must be a number of at least 0.")
    return feature_probabilities(vocabulary_size, exponent)


def invert(cuts: Float64[Tensor, "inner"], u: Float64[Tensor, "*t"]) -> Int64[Tensor, "*t"]:
    """The token in whose interval u lies: cuts[v − 1] ≤ u < cuts[v]."""
    return torch.searchsorted(cuts, u.contiguous(), right=True)


class ZipfTokens(nn.Module):
    """A `TokenLaw` without structure; buffers move with `.to(device)`."""

    cuts: Float64[Tensor, "inner"]
    unit = 1

    def __init__(self, vocabulary_size: int, exponent: float) -> None:
        super().__init__()
        self.vocabulary_size, self.frequencies = vocabulary_size, zipf_frequencies(vocabulary_size, exponent)
        self.register_buffer("cuts", torch.from_numpy(borders(self.frequencies)))

    def cross_entropy(self) -> float:
        """The least mean loss of a next-token prediction, in nats."""
        return entropy(self.frequencies)

    def words(self, length: int) -> int:
        """Uniform numbers that `length` tokens take."""
        return length

    def tokens(self, u: Float64[Tensor, "*s t"]) -> Int64[Tensor, "*s t"]:
        """Tokens from uniform numbers."""
        return invert(self.cuts, u)
