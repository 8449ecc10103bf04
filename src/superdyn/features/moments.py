"""Exact moments of the data: what theory, the population risk and the choice of learning rate rest on.

x_i = v with probability p_i, else 0, independently over i, so μ_i = p_i E v, E x_i² = λ_i = p_i E v²,
var_i = λ_i - μ_i², and E x xᵀ = Σ = diag(var) + μ μᵀ. Imports no torch. Axis legend: `n` feature.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64
from scipy.optimize import brentq

from superdyn.config import DataConfig
from superdyn.features.probabilities import feature_probabilities
from superdyn.features.values import value_law


class Moments(NamedTuple):
    """Per-feature moments, each (n,) float64."""

    mean: Float64[np.ndarray, "n"]
    variance: Float64[np.ndarray, "n"]


def data_moments(data: DataConfig) -> Moments:
    """Mean μ and variance of every feature.

    Raises:
        ValueError: `data.value_law` is not a value law.
    """
    law = value_law(data.value_law)
    p = feature_probabilities(data.n_features, data.data_exponent, data.density)
    mean = p * law.mean
    return Moments(mean, p * law.second_moment - mean**2)


def top_eigenvalue(variance: Float64[np.ndarray, "n"], mean: Float64[np.ndarray, "n"]) -> float:
    """Largest eigenvalue of diag(var) + μ μᵀ, which bounds the stable learning rate by 2/λ_max.

    It is the largest root of the secular equation Σ μ_i²/(x - var_i) = 1 (Golub 1973), or max(var) where that
    coordinate of μ is zero and no root lies above. O(N) per evaluation, so exact for any N.
    """
    squares = mean**2

    def excess(x: float) -> float:
        gap = x - variance[squares > 0]
        return float((squares[squares > 0] / gap).sum()) - 1.0

    # e_iᵀ Σ e_i bounds the root from below, Weyl's inequality from above; the margin covers their rounding.
    low = float((variance + squares).max())
    high = float(variance.max() + squares.sum()) * (1.0 + 4.0 * np.finfo(np.float64).eps)
    if not squares.any() or low <= variance[squares > 0].max() or excess(low) <= 0.0:
        return low
    # Only the relative tolerance, the smallest that brentq accepts, should end the search.
    return float(np.asarray(brentq(excess, low, high, xtol=np.finfo(np.float64).tiny)))
