"""Judge of the ceiling: does K < N level off where the K = N control goes on, when does it, and how high?"""

import numpy as np
import pandas as pd

from superdyn.analysis.claims.arms import BOTTLENECK, CONTROL, by_arm, grid_points, label, relative_curve, with_arms
from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive, reported
from superdyn.analysis.slope import local_slope
from superdyn.config import ClaimConfig

LEVELLED = 0.5
"""K < N has levelled off when its last local slope is below this share of the control's."""


def ceiling(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Final losses, the time at which the control passes for good, and the share of the grid where K < N levels off."""
    rows: list[ClaimRow] = []
    levels_off: list[bool] = []
    for a, b, runs in grid_points(with_arms(frame)):
        arms = by_arm(runs)
        if not {BOTTLENECK, CONTROL} <= set(arms):
            continue
        (time, squeezed), (_, free) = (_median_curve(arms[arm]["path"]) for arm in (BOTTLENECK, CONTROL))
        slopes = [_last_slope(time, loss) for loss in (squeezed, free)]
        passed = _passes_at(time, squeezed, free)
        if np.isfinite(slopes).all():
            levels_off.append(bool(np.isfinite(passed) and slopes[0] < LEVELLED * slopes[1]))
        note = f"control {free[-1]:.3g}; last slopes {slopes[0]:.2f} and {slopes[1]:.2f}"
        rows += [
            reported(name, "L/L(0) at the end, K < N", label(a, b), float(squeezed[-1]), note=note),
            reported(name, "lr-time at which the control passes", label(a, b), passed),
        ]
    quantity, where = "share of (a, b) where K < N levels off", "K < N against K = N, both trained"
    if not levels_off:
        note = "no (a, b) has finished runs of both, measured often enough for a last slope"
        return [*rows, inconclusive(name, quantity, where, float("nan"), note, expected=claim.expected)]
    count, total = sum(levels_off), len(levels_off)
    share = count / total
    note = f"ends above its control with less than {LEVELLED:g} of its slope at {count} of {total} (a, b)"
    as_expected = abs(share - claim.expected) <= claim.tolerance
    return [*rows, finding(name, quantity, where, share, held=as_expected, expected=claim.expected, note=note)]


def _median_curve(paths: pd.Series):
    """Times and the median L/L(0) over seeds, which share their measurement times."""
    curves = [relative_curve(path) for path in paths]
    return curves[0][0], np.median([loss for _, loss in curves], axis=0)


def _last_slope(time, loss) -> float:
    """NaN where the curve has too few points for any."""
    slopes = local_slope(time, loss)[1]
    return float(slopes[-1]) if slopes.size else float("nan")


def _passes_at(time, squeezed, free) -> float:
    """First time from which the control stays below to the end; NaN if it ends above."""
    below = free < squeezed
    if not below[-1]:
        return float("nan")
    above = np.flatnonzero(~below)
    return float(time[above[-1] + 1] if above.size else time[0])
