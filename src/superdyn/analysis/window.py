"""The window rule, fixed before any curve is seen: after the first plateau, before finite-N bend and floor.

Plateau: ends where L first falls below L(0)/2 (needs the row at t = 0; where L never gets there, half-way to
the least loss). Bend: the closing stretch where the local slope s grows faster than √t, (ds/dlog t)/s > ½ by
two standard errors, as an exponential (s ∝ t) does and a power law with a floor does not. Floor: where the
fitted excess over L_inf, averaged over 0.4 decade, is less than 5 times its uncertainty. Before all this a curve of
L − L_least ends where that is less than 5 times the error of its evaluation (`excess.py`). A bend that ends in the
rounding of the numbers is a closing one, too. Axis: `t` point.
"""

import math

import numpy as np
from jaxtyping import Float

from superdyn.analysis.curve import Curve
from superdyn.analysis.excess import FLOOR_ERRORS
from superdyn.analysis.result import Interval
from superdyn.analysis.slope import SLOPE_DECADES

PLATEAU_FRACTION = 0.5
LEAST_DROP = 0.1
RISE = 1.5
BEND_GROWTH = 0.5
BEND_DECADES = 0.8
BEND_ERRORS = 2.0
ROUNDING = 1e-10
"""Below this share of L(0) a curve may end in rounding: (L/L(0))^½ is the relative error of the student's output, of
which float32 leaves 1e-7 and float64 1e-16."""
ROUNDING_FACTOR = 100.0
"""How far above its last losses such a curve may have been bent by them."""
_LEAST_POINTS = 6


def windowed(curve: Curve, window: Interval | None = None) -> tuple[Curve, list[str]]:
    """The curve inside the given window, or after the plateau and before the bend and the least loss; with the remarks
    of the rule."""
    notes = []
    if curve.n_far_off:
        notes.append(f"points a thousand times off their neighbours were dropped: {curve.n_far_off}")
    if window is not None:
        return curve.within((curve.t >= window[0]) & (curve.t <= window[1])), [*notes, "the window was given"]
    if math.isfinite(curve.drowned):
        notes.append(f"from t = {curve.drowned:.4g} on the loss cannot be told from the least one")
        curve = curve.within(curve.t < curve.drowned)
    start, remark = plateau_end(curve)
    after = curve.within(np.arange(curve.t.size) >= start)
    stop = bend_start(after) if after.t.size else 0
    notes += [remark] if remark else []
    if stop < after.t.size:
        notes.append(f"the closing bend from t = {after.t[stop]:.4g} on was cut")
    return after.within(np.arange(after.t.size) < stop), notes


def plateau_end(curve: Curve) -> tuple[int, str]:
    """Index of the first point after the plateau and a remark; the index is the curve's length if it never
    ends."""
    if curve.initial is None:
        return 0, "no row at t = 0, so no plateau was cut"
    below = curve.loss < PLATEAU_FRACTION * curve.initial
    if below.any():
        return int(np.argmax(below)), ""
    least = float(curve.loss.min()) if curve.t.size else curve.initial
    if least > (1.0 - LEAST_DROP) * curve.initial:
        return curve.t.size, "the loss never falls by a tenth: it is still on its first plateau"
    start = int(np.argmax(curve.loss < 0.5 * (curve.initial + least)))
    return start, "the loss never falls to half: the window starts half-way to the least loss"


def rise(curve: Curve) -> str:
    """A remark where the loss, averaged over 0.4 decade, ends more than half above its least; else nothing."""
    x, y = np.log(curve.t), np.log(curve.loss)
    first = np.searchsorted(x, x - SLOPE_DECADES * np.log(10.0) - 1e-9)
    sums = np.concatenate([[0.0], np.cumsum(y)])
    last = np.arange(1, x.size + 1)
    mean = (sums[last] - sums[first]) / (last - first)
    least = int(np.argmin(mean))
    if mean[-1] - mean[least] <= np.log(RISE):
        return ""
    factor = np.exp(mean[-1] - mean[least])
    return f"the loss rises again from t = {curve.t[least]:.4g} on, to {factor:.2g} times its least"


def bend_start(curve: Curve) -> int:
    """Index of the first point of the closing exponential stretch, or the curve's length."""
    stop, size = _closing_bend(curve), curve.t.size
    last = float(np.median(curve.loss[-_LEAST_POINTS:]))
    if stop < size or last > ROUNDING * curve.loss.max():
        return stop
    rounded = int(np.argmax(curve.loss <= ROUNDING_FACTOR * last))
    stop = _closing_bend(curve.within(np.arange(size) < rounded))
    return stop if stop < rounded else size


def _closing_bend(curve: Curve) -> int:
    """The same where nothing comes after the bend."""
    x = np.log(curve.t)
    width = BEND_DECADES * np.log(10.0)
    first = np.searchsorted(x, x - width - 1e-9)
    centre, bending = curve.t.size, False
    for last in range(curve.t.size - 1, -1, -1):
        if last + 1 - first[last] < _LEAST_POINTS or x[last] - x[0] < width - 1e-9:
            break
        span = slice(first[last], last + 1)
        if not _bends(x[span], np.log(curve.loss[span]), curve.weight[span]):
            break
        middle = 0.5 * (x[first[last]] + x[last])
        centre, bending = int(np.searchsorted(x, middle)), True
    return centre if bending else curve.t.size


def _bends(x: Float[np.ndarray, "t"], y: Float[np.ndarray, "t"], weight: Float[np.ndarray, "t"]) -> bool:
    """Whether a local parabola says that the slope grows faster than √t, beyond its error."""
    middle = 0.5 * (x[0] + x[-1])
    design = np.stack([np.ones_like(x), x - middle, (x - middle) ** 2], axis=1) * weight[:, None]
    inverse = np.linalg.inv(design.T @ design)
    coefficients = inverse @ (design.T @ (weight * y))
    residual = weight * y - design @ coefficients
    slope, growth = -coefficients[1], -2.0 * coefficients[2]
    # The test statistic is linear in the coefficients: growth − ½ slope.
    direction = np.array([0.0, BEND_GROWTH, -2.0])
    error = np.sqrt(residual @ residual / (x.size - 3) * (direction @ inverse @ direction))
    return bool(slope > 0 and growth - BEND_GROWTH * slope > BEND_ERRORS * error)


def floor_start(
    t: Float[np.ndarray, "t"], excess: Float[np.ndarray, "t"], total: Float[np.ndarray, "t"], noise: float
) -> int:
    """Index of the first point whose fitted excess is drowned, or the curve's length; `noise` is relative."""
    density = (t.size - 1) / max(np.log10(t[-1] / t[0]), SLOPE_DECADES)
    errors = FLOOR_ERRORS * noise / np.sqrt(max(1.0, density * SLOPE_DECADES))
    # Errors above the whole would drown every point, however far above the floor: there log(L/L_inf) is compared.
    drowned = excess <= (errors if errors < 1.0 else -np.expm1(-errors)) * total
    return int(np.argmax(drowned)) if drowned.any() else t.size
