"""Many fits of one form at once: bounded Levenberg–Marquardt with the fit axis first.

Serves the bootstrap (many noisy copies of one curve) and the plane of windows (one curve under many masks).
The same robust cost as the polish, Σ s² ρ((w r/s)²), by iteratively reweighted steps; a coordinate whose
bound blocks its descent is held for that step. The tests compare it with scipy's `least_squares`, one fit at
a time. Axis legend: `m` fit, `t` point, `c` coordinate.
"""

import numpy as np
from jaxtyping import Bool, Float

from superdyn.analysis.power_law import Scales, free_mask, log_model

_FIRST_DAMPING, _EASIER, _HARDER = 1e-3, 0.2, 8.0
_MAX_STEPS, _TOLERANCE = 40, 1e-9


def refit_many(
    t: Float[np.ndarray, "t"],
    log_loss: Float[np.ndarray, "m t"],
    weight: Float[np.ndarray, "m t"],
    start: Float[np.ndarray, "m c"],
    form: str,
    scales: Scales,
    robust_scale: float,
) -> tuple[Float[np.ndarray, "m c"], Float[np.ndarray, "m"]]:
    """Optimal coordinates of every fit from its own start, and the robust costs Σ s² ρ/2."""
    free = free_mask(form)
    low, high = np.zeros(4), np.zeros(4)
    low[free], high[free] = scales.bounds(form)
    x = np.clip(start, low, high)
    damping = np.full(len(x), _FIRST_DAMPING)
    residual, slopes, cost = _evaluate(t, log_loss, weight, x, scales, robust_scale)
    active = np.arange(len(x))
    for _ in range(_MAX_STEPS):
        step = _step(residual, slopes, x[active], damping[active], free, low, high, robust_scale)
        trial = np.clip(x[active] + step, low, high)
        new = _evaluate(t, log_loss[active], weight[active], trial, scales, robust_scale)
        better = new[2] <= cost[active]
        settled = np.abs(cost[active] - new[2]) <= _TOLERANCE * cost[active] + 1e-30
        rows = active[better]
        x[rows], cost[rows] = trial[better], new[2][better]
        residual[better], slopes[better] = new[0][better], new[1][better]
        damping[active] *= np.where(better, _EASIER, _HARDER)
        keep = ~((settled & better) | (damping[active] > 1e8))
        active, residual, slopes = active[keep], residual[keep], slopes[keep]
        if active.size == 0:
            break
    return x, cost


def _evaluate(t, log_loss, weight, x, scales, robust_scale):
    value, slopes = log_model(t, x, scales)
    residual = weight * (value - log_loss)
    cost = np.sum(np.sqrt(1.0 + (residual / robust_scale) ** 2) - 1.0, axis=1) * robust_scale**2
    return residual, weight[..., None] * slopes, cost


def _step(residual, slopes, x, damping, free, low, high, robust_scale) -> Float[np.ndarray, "m c"]:
    """Damped Gauss–Newton step on the coordinates that are free and not blocked by a bound."""
    robust = 1.0 / np.sqrt(1.0 + (residual / robust_scale) ** 2)
    weighted = slopes * robust[..., None]
    gradient = np.einsum("mtc,mt->mc", weighted, residual)
    normal = np.matmul(weighted.transpose(0, 2, 1), slopes)
    blocked = ((x <= low) & (gradient > 0)) | ((x >= high) & (gradient < 0))
    moving: Bool[np.ndarray, "m c"] = free & ~blocked
    both = moving[:, :, None] & moving[:, None, :]
    diagonal = np.einsum("mcc->mc", normal)
    scale = np.where(moving, damping[:, None] * diagonal + 1e-14 * diagonal.max(axis=1, keepdims=True), 1.0)
    matrix = np.where(both, normal, 0.0) + scale[:, :, None] * np.eye(x.shape[1])
    return np.linalg.solve(matrix, -np.where(moving, gradient, 0.0)[..., None])[..., 0]
