"""Stationary block bootstrap: resampled residual series that keep the serial correlation of one curve.

Blocks of geometric length start anywhere and wrap around (Politis & Romano 1994). The mean length is the
optimum for a first-order autoregression with the residuals' lag-one correlation ρ, (4 ρ²/(1 − ρ²)² n)^{1/3}
(Politis & White 2004). Axis legend: `m` replicate, `t` point.
"""

import numpy as np
from jaxtyping import Float, Int

MAX_CORRELATION = 0.9
"""Above this a curve of a few hundred points cannot tell correlation from a trend; bounds the block
length."""


def block_length(residual: Float[np.ndarray, "t"]) -> float:
    """Mean block length in points, at least 1."""
    centred = residual - residual.mean()
    power = float(centred @ centred)
    if power == 0:
        return 1.0
    rho = min(abs(float(centred[1:] @ centred[:-1]) / power), MAX_CORRELATION)
    return max(1.0, (4.0 * rho**2 / (1.0 - rho**2) ** 2 * residual.size) ** (1.0 / 3.0))


def stationary_blocks(
    n_points: int, n_replicates: int, mean_length: float, rng: np.random.Generator
) -> Int[np.ndarray, "m t"]:
    """Indices of the resampled points: each continues its predecessor's block or starts a new one."""
    starts = rng.integers(n_points, size=(n_replicates, n_points))
    fresh = rng.random((n_replicates, n_points)) < 1.0 / mean_length
    fresh[:, 0] = True
    position = np.arange(n_points)
    last_fresh = np.maximum.accumulate(np.where(fresh, position, 0), axis=1)
    return (np.take_along_axis(starts, last_fresh, axis=1) + position - last_fresh) % n_points
