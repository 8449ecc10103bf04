"""Variable projection: the best (α, t0) on a grid, each with its own non-negative (L_inf, C).

For given (α, t0) the model L_inf + C (t + t0)^-α is linear in two non-negative numbers, so the search is over
two numbers only. The two-variable non-negative least-squares problem has a closed form, evaluated for the
whole grid at once; `scipy.optimize.nnls` at every grid point is the slow reference in the tests. Residuals
are relative to the loss. Axis legend: `g` grid point, `t` point.
"""

import numpy as np
from jaxtyping import Float

from superdyn.analysis.power_law import FORMS

ALPHA_GRID = np.geomspace(0.03, 6.0, 56)
T0_POINTS = 25
LEAST_SHARE = 1e-6


def nnls_two(
    first: Float[np.ndarray, "t"], second: Float[np.ndarray, "g t"], target: Float[np.ndarray, "t"]
) -> tuple[Float[np.ndarray, "g"], Float[np.ndarray, "g"], Float[np.ndarray, "g"]]:
    """argmin over u, v >= 0 of |u·first + v·second_g − target|² for each g; returns u, v and the least value.

    All columns must be positive: then a minimum with a negative coordinate lies on that coordinate's axis.
    """
    a, b, c = first @ first, second @ first, np.sum(second**2, axis=1)
    p, q = first @ target, second @ target
    # Cauchy–Schwarz: 0 exactly where the columns are parallel (t0 → ∞), where one of them does all the work.
    determinant = a * c - b**2
    regular = determinant > 1e-12 * a * c
    safe = np.where(regular, determinant, 1.0)
    u, v = (c * p - b * q) / safe, (a * q - b * p) / safe
    inside = regular & (u >= 0) & (v >= 0)
    only_v = ~inside & (q**2 / c >= p**2 / a)
    u = np.where(inside, u, np.where(only_v, 0.0, p / a))
    v = np.where(inside, v, np.where(only_v, q / c, 0.0))
    misfit = np.sum((u[:, None] * first + v[:, None] * second - target) ** 2, axis=1)
    return u, v, misfit


def project(
    t: Float[np.ndarray, "t"], loss: Float[np.ndarray, "t"], weight: Float[np.ndarray, "t"], form: str
) -> tuple[float, float, float, float]:
    """Best (α, t0, L_inf, C) on the grid for one of `FORMS`; the starting point of the polish."""
    _, with_t0, with_floor, _ = FORMS[form]
    t0_grid = np.concatenate([[0.0], np.geomspace(t[0] / 10, t[-1], T0_POINTS)]) if with_t0 else np.zeros(1)
    alpha, t0 = (axis.ravel() for axis in np.meshgrid(ALPHA_GRID, t0_grid, indexing="ij"))
    least = float(loss.min())
    relative = weight * (least / loss)
    middle = np.exp(np.log(t).mean())
    ratio = np.log((t + t0_grid[:, None]) / (middle + t0_grid[:, None]))
    shape = np.exp(-ALPHA_GRID[:, None, None] * ratio).reshape(-1, t.size) * relative
    if with_floor:
        floor, amplitude, misfit = nnls_two(relative, shape, weight)
    else:
        amplitude = (shape @ weight) / np.sum(shape**2, axis=1)
        floor = np.zeros_like(amplitude)
        misfit = np.sum((amplitude[:, None] * shape - weight) ** 2, axis=1)
    misfit = np.where(amplitude > 0, misfit, np.inf)
    best = int(np.argmin(misfit))
    # A curve that does not fall leaves no amplitude; the polish works with its logarithm and needs some.
    started = least * max(amplitude[best], LEAST_SHARE)
    scale = started * (middle + t0[best]) ** alpha[best]
    return float(alpha[best]), float(t0[best]), least * float(floor[best]), float(scale)
