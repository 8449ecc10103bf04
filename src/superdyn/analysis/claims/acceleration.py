"""Judge of the acceleration: how much sooner K < N reaches a loss than the identity K = N student, in lr-time."""

import numpy as np
import pandas as pd

from superdyn.analysis.claims.arms import (
    BOTTLENECK,
    CONTROL,
    ORTHOGONAL,
    by_arm,
    grid_points,
    label,
    time_to_reach,
    with_arms,
)
from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive, reported
from superdyn.config import ClaimConfig

LEVELS = (0.1, 0.03, 0.01)
"""L/L(0) at which times are compared: below the first plateau, above the floor of most bottlenecks."""


def acceleration(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Ratio of exponents and of times to reach each level; the largest ratio of times carries the verdict."""
    rows: list[ClaimRow] = []
    ratios: dict[str, float] = {}
    for a, b, runs in grid_points(with_arms(frame)):
        arms = by_arm(runs)
        if not {BOTTLENECK, ORTHOGONAL} <= set(arms):
            continue
        exponents = {arm: part["alpha_long"].mean() for arm, part in arms.items()}
        rows.append(reported(name, "α(K < N) / α(K = N identity)", label(a, b),
                             float(exponents[BOTTLENECK] / exponents[ORTHOGONAL])))  # fmt: skip
        for level in LEVELS:
            ratio = _speed_up(arms[ORTHOGONAL], arms[BOTTLENECK], level)
            control = _speed_up(arms[ORTHOGONAL], arms[CONTROL], level) if CONTROL in arms else float("nan")
            where = f"{label(a, b)}, L/L(0) = {level:g}"
            rows.append(reported(name, "time ratio K = N identity / K < N", where, ratio,
                                 note=f"K = N trained control: {control:.2f}"))  # fmt: skip
            ratios[where] = ratio
    return [*rows, _summary(name, claim, ratios)]


def _speed_up(slow: pd.DataFrame, fast: pd.DataFrame, level: float) -> float:
    """Ratio of geometric mean times over seeds; NaN when a run never reaches the level."""
    means = [np.mean([np.log(time_to_reach(path, level)) for path in runs["path"]]) for runs in (slow, fast)]
    return float(np.exp(means[0] - means[1]))


def _summary(name: str, claim: ClaimConfig, ratios: dict[str, float]) -> ClaimRow:
    quantity, levels = "largest time ratio K = N identity / K < N", ", ".join(f"{level:g}" for level in LEVELS)
    reached = {where: ratio for where, ratio in ratios.items() if np.isfinite(ratio)}
    if not reached:
        note = f"no L/L(0) of {levels} was reached by both"
        return inconclusive(name, quantity, "all (a, b)", float("nan"), note, expected=claim.expected)
    where = max(reached, key=reached.__getitem__)
    largest, needed = reached[where], claim.expected - claim.tolerance
    note = f"range over the grid and levels {levels}; held from {needed:g} on"
    return finding(name, quantity, where, largest, held=largest >= needed, expected=claim.expected,
                   low=min(reached.values()), high=largest, note=note)  # fmt: skip
