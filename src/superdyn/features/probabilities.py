"""How often each feature is active and how much it matters: the two power laws of the data.

p_i = min(1, E·i^-a / Σ_j j^-a) and A_ii = i^-b for i = 1…N (arXiv 2602.01045); E = Σ p_i is the expected
number of active features per sample as long as the cap at 1 does not bind. Imports no torch. Axis legend:
`n` feature.
"""

import numpy as np
from jaxtyping import Float64


def _powers(n_features: int, exponent: float) -> Float64[np.ndarray, "n"]:
    """i^-exponent for i = 1…N."""
    return np.arange(1, n_features + 1, dtype=np.float64) ** -float(exponent)


def density_limit(n_features: int, data_exponent: float) -> float:
    """The largest density E at which no p_i is capped: p_1 = 1 at E = Σ_j j^-a."""
    return float(_powers(n_features, data_exponent).sum())


def feature_probabilities(n_features: int, data_exponent: float, density: float = 1.0) -> Float64[np.ndarray, "n"]:
    """Probability that each feature is active, p_i = min(1, E·i^-a / Σ_j j^-a).

    Args:
        n_features: N, the number of features.
        data_exponent: a.
        density: E, the expected number of active features per sample while E ≤ `density_limit`.

    Returns:
        (n,) float64 in [0, 1], most frequent feature first for a ≥ 0.
    """
    shares = _powers(n_features, data_exponent) / density_limit(n_features, data_exponent)
    return np.minimum(1.0, density * shares)


def importances(n_features: int, importance_exponent: float) -> Float64[np.ndarray, "n"]:
    """Diagonal of the teacher, A_ii = i^-b, (n,) float64."""
    return _powers(n_features, importance_exponent)
