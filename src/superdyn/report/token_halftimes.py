"""Figure of half-times of language models: t_½ of every bin of tokens against the rank of its tokens, and z.

The half-times are those behind the run's own z (`analysis.run_result`): of what a bin's loss exceeds its floor by, at
the geometric middle of the bin's ranks. Axis legend: `b` bin.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from superdyn import analysis
from superdyn.analysis.run_result import token_bin_half_times
from superdyn.report.halftimes import FIT, GUIDE, HalfTimes, fitted_ranks, halftimes_panels, pooled_z
from superdyn.report.study import Run, Study
from superdyn.report.style import INK, Absent, Drawing, Pair
from superdyn.report.width_lines import OUR_LANGUAGES, SOURCE

MARKS = (
    Line2D([], [], color=INK, ls="", marker="o", ms=3, label=r"$t_{1/2}$ of a bin, median of seeds"),
    Line2D([], [], color=INK, **FIT, label=r"fit $t_{1/2} \propto i^{\,z}$"),
)
GUIDE_MARK = Line2D([], [], color=INK, **GUIDE, label=r"one after another by frequency, $z = a$")


def training_halftimes_figure(study: Study) -> Drawing | Absent:
    """The small multiples of the bins' half-times; no panel where no bin has one."""
    found = {
        condition: {pair: _of_bins(study, condition, pair, runs) for pair, runs in by_pair.items()}
        for condition, by_pair in study.panels.items()
    }
    zipf = all(run.row[SOURCE] in OUR_LANGUAGES for run in study.runs)
    key = (*MARKS, GUIDE_MARK) if zipf else MARKS
    empty = Drawing("token_half_times", "Half-times by token frequency", _CAPTION, Figure())
    return halftimes_panels(study, found, empty, r"frequency rank of the bin's tokens  $i$", key, guided=zipf)


def _of_bins(study: Study, condition: str, pair: Pair, runs: list[Run]) -> HalfTimes:
    each = pd.concat([_run_half_times(run, study.scheduled) for run in runs], axis=1).sort_index()
    # A bin that has not settled says nothing of its half-time: the median is of the seeds that have one, half at least.
    middle = each.median(axis=1).where(each.notna().mean(axis=1) >= 0.5)
    ranks, times = middle.index.to_numpy(float), middle.to_numpy(float)
    return HalfTimes(ranks, times, *pooled_z(study, condition, pair), fitted_ranks(runs))


def _run_half_times(run: Run, scheduled: bool) -> pd.Series:
    steps, spectrum = analysis.load_spectrum(run.path)
    times: Float[np.ndarray, "m"] = np.interp(steps, run.curve["step"], run.time(scheduled))
    sizes = {key: int(run.row[key]) for key in ("data.n_features", "data.tokens.bins")}
    rank, half = token_bin_half_times(sizes, times, spectrum)
    return pd.Series(half, index=rank)


_CAPTION = (
    "Time at which the mean loss of a frequency bin, above its own floor, has halved, against the frequency rank of "
    "the bin's tokens (geometric mean). The floor is the bin's mean loss over the last factor of 2 in time;"
    " a bin that had not settled by then has no half-time and no point. The slope is the half-time exponent z, whose "
    "mean over seeds stands beside the panel with its 95 % interval; its line covers the bins from rank 4 to the "
    "first without a point, and needs four of them. z = 0 is learning all at once."
)
