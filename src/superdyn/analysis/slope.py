"""Local slope −dlog L/dlog t by regression in log t, and the longest stretch where it is flat.

A power law is claimed only where the local slope varies by less than 0.1 over at least one decade. The live
number for logging, `running_exponent`, is the slope of the last stretch of the curve. Axis legend: `t` point.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from superdyn.analysis.curve import read_curve

SLOPE_DECADES = 0.4
FLAT_SPREAD = 0.1
FLAT_DECADES = 1.0
LEAST_SLOPE = 0.05
"""A slope below half the flatness tolerance cannot be told from a plateau, so it is never called a power
law."""

_LEAST_POINTS = 4


def local_slope(
    t: ArrayLike, loss: ArrayLike, *, decades: float = SLOPE_DECADES
) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "t"]]:
    """(t_mid, slope): straight-line slope of −log L on log t in a window `decades` wide around each point.

    Only points whose whole window lies inside the curve and holds at least 4 points are returned.
    """
    curve = read_curve(t, loss)
    x, y = np.log(curve.t), np.log(curve.loss)
    half = 0.5 * decades * np.log(10.0)
    if x.size < _LEAST_POINTS or x[-1] - x[0] < 2 * half:
        return np.empty(0), np.empty(0)
    slack = 1e-9
    start, stop = np.searchsorted(x, x - half - slack), np.searchsorted(x, x + half + slack, side="right")
    inside = (x - half >= x[0] - slack) & (x + half <= x[-1] + slack) & (stop - start >= _LEAST_POINTS)
    slope = _window_slopes(x, y, curve.weight**2, start[inside], stop[inside])
    return curve.t[inside], -slope


def _window_slopes(x, y, weight, start, stop) -> Float[np.ndarray, "t"]:
    """Weighted regression slopes of y on x in the index ranges [start, stop), by cumulative sums."""
    x, y = x - x.mean(), y - y.mean()
    sums = [np.concatenate([[0.0], np.cumsum(weight * v)]) for v in (np.ones_like(x), x, y, x * x, x * y)]
    n, sx, sy, sxx, sxy = (total[stop] - total[start] for total in sums)
    return (n * sxy - sx * sy) / (n * sxx - sx**2)


def flat_stretch(
    t_mid: Float[np.ndarray, "t"], slope: Float[np.ndarray, "t"], *, spread: float = FLAT_SPREAD
) -> tuple[float, float, float]:
    """(t_min, t_max, decades) of the longest stretch where max − min of the slope is below `spread`; NaN if
    none."""
    best, first = (0, -1), 0
    for last in range(slope.size):
        # Written so that NaN, which marks a point that may not count, also ends a stretch.
        if not slope[last] >= LEAST_SLOPE:
            first = last + 1
            continue
        while np.ptp(slope[first : last + 1]) >= spread:
            first += 1
        if best[1] < 0 or t_mid[last] / t_mid[first] > t_mid[best[1]] / t_mid[best[0]]:
            best = (first, last)
    if best[1] < 0:
        return float("nan"), float("nan"), 0.0
    low, high = float(t_mid[best[0]]), float(t_mid[best[1]])
    return low, high, float(np.log10(high / low))


def running_exponent(t: ArrayLike, loss: ArrayLike, *, decades: float = 1.0) -> tuple[float, float, float, float]:
    """(slope over the last 0.4 decade, slope over the last `decades`, its 95 % low and high) for live
    logging.

    A plain regression with white-noise errors, no floor and no shift: a reading, not a result. NaN while
    fewer than 4 usable points lie in the window.
    """
    curve = read_curve(t, loss)
    x, y = np.log(curve.t), np.log(curve.loss)
    nothing = float("nan")
    near = x >= x[-1] - SLOPE_DECADES * np.log(10.0) if x.size else np.zeros(0, dtype=bool)
    far = x >= x[-1] - decades * np.log(10.0) if x.size else near
    recent = -straight_line(x[near], y[near])[0] if near.sum() >= _LEAST_POINTS else nothing
    if far.sum() < _LEAST_POINTS:
        return recent, nothing, nothing, nothing
    slope, error, _ = straight_line(x[far], y[far])
    return recent, -slope, -slope - 1.96 * error, -slope + 1.96 * error


def straight_line(x: Float[np.ndarray, "t"], y: Float[np.ndarray, "t"]) -> tuple[float, float, Float[np.ndarray, "t"]]:
    """Least-squares slope, its white-noise standard error, and the residuals."""
    centred = x - x.mean()
    power = float(centred @ centred)
    slope = float(centred @ y) / power
    residual = y - y.mean() - slope * centred
    error = float(np.sqrt(residual @ residual / max(x.size - 2, 1) / power))
    return slope, error, residual
