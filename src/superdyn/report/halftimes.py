"""Figure 6: the half-time t_½(i) of every feature against its rank i, and its exponent z.

t_½(i) is the time at which ℓ_i has fallen to half of ℓ_i(0); sequential learning gives t_½ ∝ 1/λ_i ∝ i^a,
that is z = a. Points are medians over seeds; features that have not halved by the end are absent, and their
share is printed.
"""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from superdyn import analysis
from superdyn.report.curves import panel_title
from superdyn.report.heatmap import guide_anchor, relative_spectrum
from superdyn.report.study import Run, Study
from superdyn.report.style import (
    INK,
    Drawing,
    drawing_style,
    legend_below,
    log_axes,
    pair_colours,
    panel_grid,
)

MAX_POINTS = 100
"""Points a line; more features are thinned evenly in log rank (the line fitted in `analysis` uses all)."""
MARKS = (
    Line2D([], [], color=INK, ls="", marker="o", ms=3, label=r"measured $t_{1/2}(i)$, median of seeds"),
    Line2D([], [], color=INK, lw=1.3, label=r"fit $t_{1/2} \propto i^{\,z}$"),
    Line2D([], [], color=INK, lw=1.0, ls=(0, (4, 2)), label=r"sequential learning, $z = a$"),
)


def halftimes_figure(study: Study) -> Drawing:
    """The small multiples of half-times, with their caption."""
    unit = r"$\tau$" if study.scheduled else "steps"
    label = rf"half-time  $t_{{1/2}}(i)$  ({unit})"
    with drawing_style():
        colours = pair_colours(study.pairs)
        figure, panels = panel_grid(len(study.panels), r"feature rank  $i$", label, height=2.7)
        for axes, (condition, by_pair) in zip(panels, study.panels.items(), strict=True):
            axes.set_title(panel_title(condition))
            log_axes(axes)
            for pair, runs in by_pair.items():
                _draw_pair(axes, runs, colours[pair], study.scheduled)
            if axes.get_legend_handles_labels()[0]:  # no exponent where too few features have halved
                axes.legend(loc="upper left", fontsize=7, handlelength=1.0, labelspacing=0.25, borderpad=0.1)
        legend_below(figure, colours, MARKS)
    return Drawing("half_times", "Half-times", _CAPTION, figure)


def median_half_times(runs: list[Run], scheduled: bool) -> Float[np.ndarray, "n"]:
    """Median over seeds of t_½(i); a feature that most seeds have not halved is NaN."""
    each = []
    for run in runs:
        times, relative = relative_spectrum(run, scheduled)
        each.append(analysis.half_times(times, relative))
    # NaN stands for "later than the end", so it sorts last: infinity makes the median say so.
    middle = np.median(np.where(np.isfinite(each), each, np.inf), axis=0)
    return np.where(np.isfinite(middle), middle, np.nan)


def _draw_pair(axes: Axes, runs: list[Run], colour: str, scheduled: bool) -> None:
    half = median_half_times(runs, scheduled)
    ranks = np.arange(1, half.size + 1)
    shown = np.unique(np.geomspace(1, half.size, MAX_POINTS).round().astype(int)) - 1
    axes.plot(ranks[shown], half[shown], "o", ms=2.2, color=colour, mec="none", alpha=0.75)
    a = runs[0].pair[0]
    reached = np.isfinite(half)
    axes.plot(ranks, guide_anchor(half, a) * ranks**a, color=colour, lw=0.9, ls=(0, (4, 2)), zorder=1.5)
    exponents = [run.row["half_time_exponent"] for run in runs if np.isfinite(run.row["half_time_exponent"])]
    if not exponents or not reached.any():
        return
    z = float(np.median(exponents))
    centre = np.median(np.log(half[reached]) - z * np.log(ranks[reached]))
    unlearned = "" if reached.all() else f", {np.sum(~reached)} of {half.size} not halved"
    label = f"z = {z:.2f} (a = {a:g}{unlearned})"
    axes.plot(ranks[reached], np.exp(centre) * ranks[reached] ** z, color=colour, lw=1.3, label=label)


_CAPTION = (
    "Time at which the loss of feature i has halved, against its rank i. The slope on these axes is the "
    "half-time exponent z. Dashed: z = a, features learned one after another in the order of their "
    "frequency, drawn through the first ten half-times. A smaller z means that rare features are learned "
    "sooner than their frequency alone allows; z = 0 is learning all at once. Features that have not halved "
    "by the end of training have no point; where there are such features, their share is printed, and z "
    "describes the others only."
)
