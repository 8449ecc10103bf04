"""Judge of the ceiling: does K < N level off where the K = N control goes on, when does it, and how high?"""

import numpy as np
import pandas as pd

from superdyn.analysis.claims.arms import BOTTLENECK, CONTROL, grid_points, label, relative_curve, with_arms
from superdyn.analysis.claims.row import ClaimRow, finding, reported
from superdyn.analysis.slope import local_slope
from superdyn.config import ClaimConfig

LEVELLED = 0.5
"""K < N has levelled off when its last local slope is below this share of the control's."""


def ceiling(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Final losses, the time at which the control passes for good, and the share of the grid where K < N levels off."""
    rows, held = [], []
    for a, b, runs in grid_points(with_arms(frame)):
        arms = {arm: _median_curve(part["path"]) for arm, part in runs.groupby("arm")}
        if not {BOTTLENECK, CONTROL} <= set(arms):
            continue
        (time, squeezed), (_, free) = arms[BOTTLENECK], arms[CONTROL]
        slopes = [float(local_slope(time, loss)[1][-1]) for loss in (squeezed, free)]
        passed = _passes_at(time, squeezed, free)
        levelled = bool(np.isfinite(passed) and slopes[0] < LEVELLED * slopes[1])
        held.append(levelled)
        note = f"control {free[-1]:.3g}; last slopes {slopes[0]:.2f} and {slopes[1]:.2f}"
        rows += [
            reported(name, "L/L(0) at the end, K < N", label(a, b), float(squeezed[-1]), note=note),
            reported(name, "lr-time at which the control passes", label(a, b), passed),
        ]
    share = sum(held) / len(held) if held else float("nan")
    note = f"ends above its control with less than {LEVELLED:g} of its slope at {sum(held)} of {len(held)} (a, b)"
    held_everywhere = abs(share - claim.expected) <= claim.tolerance
    summary = finding(name, "share of (a, b) where K < N levels off", "K < N against K = N, both trained", share,
                      held=held_everywhere, expected=claim.expected, note=note)  # fmt: skip
    return [*rows, summary]


def _median_curve(paths: pd.Series):
    """Times and the median L/L(0) over seeds, which share their measurement times."""
    curves = [relative_curve(path) for path in paths]
    return curves[0][0], np.median([loss for _, loss in curves], axis=0)


def _passes_at(time, squeezed, free) -> float:
    """First time from which the control stays below to the end; NaN if it ends above."""
    below = free < squeezed
    if not below[-1]:
        return float("nan")
    above = np.flatnonzero(~below)
    return float(time[above[-1] + 1] if above.size else time[0])
