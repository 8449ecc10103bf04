"""Figure 2: the local exponent −dlog L/dlog t over time, in the panels and colours of figure 1.

A power law is a horizontal stretch here. Marks on the right edge give the two asymptotic references of each
(a, b): α_seq = (a + 2b − 1)/a for one-by-one learning and α_rich = (a + 2b − 1)/(a + b) when the embedding
learns too.
"""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from superdyn import analysis, theory
from superdyn.report.curves import THEORY_MARKS, panel_title, theory_line
from superdyn.report.seeds import draw_band, seed_band
from superdyn.report.sparse_curves import with_local_exponents
from superdyn.report.study import Run, Study
from superdyn.report.style import (
    INK,
    MUTED,
    Absent,
    Drawing,
    Look,
    Pair,
    drawing_style,
    legend_below,
    log_axis,
    pair_looks,
    panel_grid,
)

SLOPE_LABEL = r"local exponent  $-\mathrm{d}\log L/\mathrm{d}\log %s$"
TOKEN_SLOPE_LABEL = r"local exponent of  $L-L_{\rm least}$"
HIGHEST = 4.0
"""Slopes above this belong to the exponential end of a finite-N curve, where no power law is at issue."""
REFERENCE_MARKS = (
    Line2D([], [], color=INK, ls="", marker="<", ms=5, label=r"$\alpha_{\rm seq}$ (right edge)"),
    Line2D([], [], color=INK, ls="", marker="D", ms=4.5, mfc="white", label=r"$\alpha_{\rm rich}$ (right edge)"),
)


def slopes_figure(study: Study) -> Drawing | Absent:
    """The small multiples of local exponents, with their caption; no panel where there are too few measurements."""
    shown, sparse = with_local_exponents(study)
    if not shown:
        return Absent("local_slopes", "Local exponents", sparse)
    with drawing_style():
        looks = pair_looks(study.pairs)
        time = r"\tau" if study.scheduled else "t"
        label = TOKEN_SLOPE_LABEL if study.reads_tokens else SLOPE_LABEL % time
        figure, panels = panel_grid(len(shown), study.time_label, label)
        for axes, (condition, by_pair) in zip(panels, shown.items(), strict=True):
            axes.set_title(panel_title(condition))
            log_axis(axes, "x")
            axes.axhline(1, color=MUTED, lw=0.8, zorder=1)
            for pair, runs in by_pair.items():
                _draw_slopes(axes, runs, looks[pair], study.scheduled)
                if not study.reads_tokens:
                    _mark_references(axes, pair, looks[pair][0])
        panels[0].set_ylim(-0.15, _upper_limit(study, panels))
        marks = THEORY_MARKS[:1] if study.reads_tokens else (*THEORY_MARKS, *REFERENCE_MARKS)
        legend_below(figure, study.labelled(looks), marks)
    caption = (_TOKEN_CAPTION if study.reads_tokens else _CAPTION) + study.selection + f" {sparse}".rstrip()
    return Drawing("local_slopes", "Local exponents", caption, figure)


def reference(exponent: Callable[[float, float], float], pair: Pair) -> float:
    """`exponent(a, b)`, or NaN where a + 2b ≤ 1 and the infinite sum has no power law."""
    a, b = pair
    return exponent(a, b) if a > 0 and a + 2 * b > 1 else float("nan")


def _draw_slopes(axes: Axes, runs: list[Run], pair_look: Look, scheduled: bool) -> None:
    first = runs[0]
    loss, look = theory_line(first, pair_look[0])
    axes.plot(*_slope(first.time(scheduled), loss), **look)
    measured = [_slope(run.time(scheduled), run.relative_excess()) for run in runs]
    draw_band(axes, seed_band([t for t, _ in measured], [s for _, s in measured]), *pair_look)


def _slope(time: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    usable = (time > 0) & np.isfinite(loss) & (loss > 0)
    return analysis.local_slope(time[usable], loss[usable])


def _mark_references(axes: Axes, pair: Pair, colour: str) -> None:
    edge = axes.get_yaxis_transform()
    style = {"transform": edge, "clip_on": False, "ls": "", "color": colour, "zorder": 4}
    axes.plot([1.025], [reference(theory.sequential_exponent, pair)], marker="<", ms=5, **style)
    axes.plot([1.065], [reference(theory.rich_exponent, pair)], marker="D", ms=4, mfc="white", **style)


def _upper_limit(study: Study, panels: Sequence[Axes]) -> float:
    """Of features from their asymptotic exponents; of tokens, which have none, what shows the lines and the level 1."""
    if study.reads_tokens:
        tops = [axes.dataLim.ymax for axes in panels]
        return min(HIGHEST, max(1.5, 1.1 * max(tops)))
    levels = [reference(theory.sequential_exponent, pair) for pair in study.pairs]
    return min(HIGHEST, 1.35 * max(1.5, *np.nan_to_num(levels, nan=0.0)))


_CAPTION = (
    "Local exponent of the curves of figure 1, with the same panels, colours and line styles. A power law is "
    "claimed only where a line is flat (spread below 0.1) over a decade or more; a line that merely crosses "
    "the grey level 1 is no evidence for an exponent of 1. Triangles on the right edge mark α_seq = (a + 2b "
    "− 1)/a, the asymptotic exponent when features are learned one after another, and open diamonds α_rich = "
    "(a + 2b − 1)/(a + b), expected when the embedding is trained too. The dotted null bends upward where "
    "the last of the N features is learned: beyond that bend a curve of finite N decays exponentially and "
    "leaves the frame."
)

_TOKEN_CAPTION = (
    "Local exponent −d log(L − L_least)/d log t of the curves of figure 1, t the time on the axis and L_least the "
    "least loss that their evaluation tokens allow any model; where it is not known, of the loss itself. A power law "
    "is claimed only where a line is flat (spread below 0.1) over a decade or more. There is no theory of these "
    "exponents to draw beside them. A line ends where the difference is below five times its standard error; before "
    "that its slope is noisier the smaller it is."
)
