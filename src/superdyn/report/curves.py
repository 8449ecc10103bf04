"""Figure 1: the loss L(t)/L(0) of every condition on logarithmic axes.

One panel a condition, one colour an (a, b), seeds as median and range. Exact theory is dashed where it applies to that
very configuration; where it does not, the exact curve of the student without superposition (K = N) of the same finite N
is dotted: at finite N that curve has slopes of its own, so it is the null of every exponent read off the panel.
"""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from superdyn.report.seeds import draw_band, seed_band
from superdyn.report.study import Run, Study
from superdyn.report.style import (
    INK,
    Drawing,
    drawing_style,
    legend_below,
    log_axes,
    outer_labels,
    pair_colours,
    panel_grid,
)

FLOOR = 1e-12
"""Below this relative loss double-precision residuals are rounding noise; the axis ends there at the latest."""
THEORY_MARKS = (
    Line2D([], [], color=INK, lw=1.4, label="measured (median, range of seeds)"),
    Line2D([], [], color=INK, lw=1.1, ls=(0, (4, 2)), label="exact theory of this student"),
    Line2D([], [], color=INK, lw=1.0, ls=(0, (1, 1.6)), label="null: exact K = N curve, same N"),
)


def curves_figure(study: Study) -> Drawing:
    """The small multiples of loss curves, with their caption."""
    with drawing_style():
        colours = pair_colours(study.pairs)
        figure, panels = panel_grid(len(study.panels))
        for axes, (condition, by_pair) in zip(panels, study.panels.items(), strict=True):
            axes.set_title(panel_title(condition))
            log_axes(axes)
            for pair, runs in by_pair.items():
                draw_loss(axes, runs, colours[pair], study.scheduled)
        if panels:
            panels[0].set_ylim(_loss_limits(study), 1.6)
        outer_labels(figure, study.time_label, r"relative loss  $L(t)/L(0)$")
        legend_below(figure, colours, THEORY_MARKS)
    return Drawing("loss_curves", "Loss curves", _caption(study), figure)


def draw_loss(axes: Axes, runs: list[Run], colour: str, scheduled: bool) -> None:
    """The seeds of one (a, b) in one condition, with the exact curve or the null behind them."""
    first = runs[0]
    exact = first.exact()
    theory, dashes = (first.null(), (0, (1, 1.6))) if exact is None else (exact, (0, (4, 2)))
    _draw_theory(axes, first.time(scheduled), theory, colour, dashes)
    later = [run.time(scheduled) > 0 for run in runs]
    times = [run.time(scheduled)[kept] for run, kept in zip(runs, later, strict=True)]
    losses = [_positive(run.relative_loss()[kept]) for run, kept in zip(runs, later, strict=True)]
    draw_band(axes, seed_band(times, losses), colour)


def panel_title(condition: str) -> str:
    """A condition's label broken into lines that fit above a panel."""
    return textwrap.fill(condition, 42)


def _draw_theory(axes: Axes, time: np.ndarray, loss: np.ndarray, colour: str, dashes: tuple) -> None:
    shown = (time > 0) & (loss > FLOOR)
    axes.plot(time[shown], loss[shown], color=colour, lw=1.0, ls=dashes, zorder=2.5)


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _loss_limits(study: Study) -> float:
    lowest = [np.nanmin(_positive(run.relative_loss()), initial=1.0) for run in study.runs]
    return max(FLOOR, 0.4 * min(lowest))


def _caption(study: Study) -> str:
    shown, total = len(study.panels), len(study.groups)
    part = "" if shown == total else f" The first {shown} of {total} conditions are drawn; the tables list all."
    return (
        "Relative loss against training time, one panel for each condition. A straight line is a power law and its "
        "steepness the exponent α. Solid lines are the median over seeds and bands their full range. Dashed: exact "
        "solution for this student, drawn where one exists; measured and dashed lines must then coincide. Dotted, "
        "elsewhere: exact solution of the student without superposition (K = N) on the same N features, learning "
        "rate and schedule. A measured line that differs from the dotted one shows what the condition changed; a "
        "slope that the dotted line has too is an effect of finite N, not of superposition." + part
    )
