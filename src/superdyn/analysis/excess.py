"""What a loss exceeds the least possible one by, L − L_least: what exponents are of wherever L_least is known.

L_least is that of the very data on which the loss was measured, one number of a curve, in its column `least_loss`
(absent or null where it is not known). The luck of the evaluation draw, common to both, is then gone but for its cross
term with the model's own error. `excess_error` is the standard error that this leaves; the draw is the same at all
times, so that no averaging over time makes it smaller. Axis legend: `t` point.
"""

import math

import numpy as np
import pandas as pd
from jaxtyping import Float

from superdyn.runs.record import EXCESS_ERROR, LEAST_LOSS

SMOOTHED_DECADES = 0.4
FLOOR_ERRORS = 5.0
"""An excess, averaged over `SMOOTHED_DECADES`, is drowned below so many times its uncertainty."""
EXCESS, WHOLE = "L - L_least", "L"
"""What a fit is of."""


def known_least(curve: pd.DataFrame) -> float | None:
    """L_least of a curve, None where it is not known.

    Raises:
        ValueError: it holds several values, or an infinite one.
    """
    if LEAST_LOSS not in curve:
        return None
    found = curve[LEAST_LOSS].dropna().unique()
    if found.size == 0:
        return None
    if found.size > 1 or not np.isfinite(found[0]):
        shown = ", ".join(f"{value:.6g}" for value in found[:3])
        raise ValueError(f"{LEAST_LOSS} holds {shown}; allowed: one number for a curve, or none where it is not known")
    return float(found[0])


def known_error(curve: pd.DataFrame) -> Float[np.ndarray, "t"] | None:
    """Standard error of the excess at each row, NaN where it is not known; None without any."""
    return curve[EXCESS_ERROR].to_numpy(np.float64) if EXCESS_ERROR in curve else None


def told_excess(curve: pd.DataFrame) -> Float[np.ndarray, "t"]:
    """L − L_least at each row of a run's curve, NaN from when it cannot be told from 0; L where L_least is not known.

    Raises:
        ValueError: as `known_least`.
    """
    loss, least, error = curve["loss"].to_numpy(np.float64), known_least(curve), known_error(curve)
    if least is None:
        return loss
    step, excess = curve["step"].to_numpy(np.float64), loss - least
    later = (step > 0) & np.isfinite(excess)
    drowned = drowned_from(step[later], excess[later], None if error is None else error[later])
    return np.where(step < drowned, excess, np.nan)


def drowned_from(
    t: Float[np.ndarray, "t"], excess: Float[np.ndarray, "t"], error: Float[np.ndarray, "t"] | None = None
) -> float:
    """The first time at which the excess cannot be told from 0, infinity if it always can; t positive and in order.

    Drowned is a mean excess over `SMOOTHED_DECADES` around a point of at most `FLOOR_ERRORS` times the mean error, or,
    where no error is known, an excess ≤ 0: points above 0 by their noise must not stand for those below.
    """
    drowned = excess <= 0
    if error is not None:
        known = np.isfinite(error)
        half = 0.5 * SMOOTHED_DECADES * math.log(10.0) + 1e-9
        start = np.searchsorted(np.log(t), np.log(t) - half)
        stop = np.searchsorted(np.log(t), np.log(t) + half, side="right")
        sums = [np.concatenate([[0.0], np.cumsum(np.where(known, part, 0.0))]) for part in (excess, error)]
        mean_excess, mean_error = (total[stop] - total[start] for total in sums)  # over the same points
        drowned = np.where(known, mean_excess <= FLOOR_ERRORS * mean_error, drowned)
    return float(t[np.argmax(drowned)]) if drowned.any() else math.inf
