"""Which conditions were measured often enough for local exponents, and the sentence about those that were not.

A local exponent is a regression over 0.4 decade of time with four points or more (`analysis.slope`); a run with fewer
than `LEAST_PLACES` places where that is possible has no line worth a panel.
"""

from collections.abc import Sequence

import numpy as np

from superdyn import analysis
from superdyn.analysis.slope import SLOPE_DECADES
from superdyn.config import TrainerConfig
from superdyn.report.study import Run, Study
from superdyn.report.style import Pair

LEAST_PLACES = 4
POINTS = "trainer.points_per_decade"
ENOUGH = TrainerConfig.model_fields["points_per_decade"].default
"""The key's default, at which a curve has local exponents nearly throughout, under a schedule too."""
MAX_NAMES = 6


def with_local_exponents(study: Study) -> tuple[dict[str, dict[Pair, list[Run]]], str]:
    """The panels of which some run has local exponents, and a sentence about the others, empty without any."""
    panels = study.panels
    sparse = {
        condition: [run for runs in by_pair.values() for run in runs]
        for condition, by_pair in panels.items()
        if not any(_has_slopes(run, study.scheduled) for runs in by_pair.values() for run in runs)
    }
    kept = {condition: by_pair for condition, by_pair in panels.items() if condition not in sparse}
    return kept, _sentence(sparse) if sparse else ""


def named(conditions: Sequence[str]) -> str:
    """The first of them and the number of the others, in words."""
    more = len(conditions) - MAX_NAMES
    return "; ".join(conditions[:MAX_NAMES]) + (f"; and {more} more" if more > 0 else "")


def _has_slopes(run: Run, scheduled: bool) -> bool:
    time, loss = run.time(scheduled), run.relative_excess()
    usable = (time > 0) & np.isfinite(loss) & (loss > 0)
    return analysis.local_slope(time[usable], loss[usable])[0].size >= LEAST_PLACES


def _sentence(sparse: dict[str, list[Run]]) -> str:
    runs = [run for of in sparse.values() for run in of]
    points = sorted({int(run.row[POINTS]) for run in runs})
    given = " or ".join(map(str, points))
    cure = (
        f"they were measured with {POINTS}={given}, and {ENOUGH}, the default, is enough"
        if points[0] < ENOUGH
        else f"at {POINTS}={given} their curves are too short for more"
    )
    return (
        f"Not drawn are the local exponents of {len(runs)} runs ({named(list(sparse))}): each is a regression over "
        f"{SLOPE_DECADES:g} decade of time with at least 4 measurements, which is possible at fewer than "
        f"{LEAST_PLACES} times of these runs; {cure}."
    )
