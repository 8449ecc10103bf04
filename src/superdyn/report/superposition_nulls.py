"""What the measures of superposition are for random unit vectors, and how far they can go: the levels behind the lines.

N rows in R^K, expectations by E[cos²] = 1/K (`theory.random_overlap`):
    overlap 1/K; D_i = 1/(1 + (N − 1)/K); K/‖W‖² = K/N; (Σσ²)²/Σσ⁴ = N²/(N + N(N − 1)/K);
off-diagonal energy of WᵀW: (N − 1)/(N − 1 + K). Limits: the squared Welch bound, which bounds the mean of cos² too;
ΣD_i ≤ K; at most K features with a dimension each; rank at most K.
"""

from dataclasses import dataclass

from superdyn.models.measure_names import OFF_DIAGONAL_ENERGY
from superdyn.theory import random_overlap, welch_bound

LABELS = {
    "represented_fraction": r"represented: $\|W_i\| > \frac{1}{2}$",
    "mean_square_overlap": r"mean $\cos^2(W_i, W_j)$",
    "mean_feature_dimensionality": r"mean dimensionality $D_i$",
    "dimensions_per_feature": r"dimensions per feature $K/\|W\|^2$",
    "participation_ratio": "participation ratio",
    OFF_DIAGONAL_ENERGY: r"off-diagonal energy of $W_d^\top B\, W_e$",
}
"""The measures in the order in which they are drawn."""


@dataclass(frozen=True)
class Levels:
    """The value of random unit vectors and the limit; None where there is none."""

    random: float | None
    limit: float | None


def levels(measure: str, n_features: int, width: int) -> Levels:
    """Those of one measure for an N × K embedding."""
    n, k = n_features, width
    found: dict[str, tuple[float | None, float | None]] = {
        "represented_fraction": (None, min(1.0, k / n)),
        "mean_square_overlap": (random_overlap(k), welch_bound(n, k) ** 2),
        "mean_feature_dimensionality": (k / (k + n - 1), min(1.0, k / n)),
        "dimensions_per_feature": (k / n, None),
        "participation_ratio": (n * k / (k + n - 1), float(min(n, k))),
        OFF_DIAGONAL_ENERGY: ((n - 1) / (n - 1 + k), None),
    }
    return Levels(*found[measure])
