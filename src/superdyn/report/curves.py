"""Figure 1: the loss L(t)/L(0) of every condition on logarithmic axes.

One panel a condition, one colour an (a, b), seeds as median and range. Exact theory is dashed where it
applies to that very configuration; where it does not, the exact curve of the student without superposition (K
= N) of the same finite N is dotted: at finite N that curve has slopes of its own, so it is the null of every
exponent read off the panel.
"""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from superdyn.report.seeds import draw_band, seed_band
from superdyn.report.study import Run, Study
from superdyn.report.style import (
    INK,
    MUTED,
    Drawing,
    Look,
    drawing_style,
    label_short_range,
    legend_below,
    log_axes,
    pair_looks,
    panel_grid,
)

LOSS_LABEL = r"relative loss  $L(t)/L(0)$"
FLOOR = 1e-8
"""The axis ends here at the latest: below lies only the exponential end of exact finite-N curves."""
HIGHEST = 1.6
EXACT: dict[str, Any] = {"color": INK, "lw": 0.9, "ls": (0, (3, 4)), "zorder": 2.6}
APPROXIMATE: dict[str, Any] = EXACT | {"ls": (0, (4, 2.5, 1, 2.5))}
NULL: dict[str, Any] = {"lw": 1.0, "ls": (0, (1, 1.6)), "zorder": 1.8}
LEAST: dict[str, Any] = {"color": INK, "lw": 0.9, "ls": (0, (6, 2))}
THEORY_MARKS = (
    Line2D([], [], color=MUTED, lw=1.8, label="measured (median, range of seeds)"),
    Line2D([], [], **EXACT, label="exact theory of this student"),
    Line2D([], [], **APPROXIMATE, label="approximate theory of it"),
    Line2D([], [], color=MUTED, **NULL, label="null: exact K = N, same N"),
)
TOKEN_MARKS = (THEORY_MARKS[0], Line2D([], [], **LEAST, label="least possible for any model"))


def curves_figure(study: Study) -> Drawing:
    """The small multiples of loss curves, with their caption."""
    with drawing_style():
        looks = pair_looks(study.pairs)
        figure, panels = panel_grid(len(study.panels), study.time_label, LOSS_LABEL)
        for axes, (condition, by_pair) in zip(panels, study.panels.items(), strict=True):
            axes.set_title(panel_title(condition))
            log_axes(axes)
            for pair, runs in by_pair.items():
                draw_loss(axes, runs, looks[pair], study.scheduled)
        panels[0].set_ylim(*loss_limits(study.runs))
        label_short_range(panels[0])
        has_floor = any(np.isfinite(run.floor()) for run in study.runs)
        marks = TOKEN_MARKS[: 1 + has_floor] if study.reads_tokens else THEORY_MARKS
        legend_below(figure, study.labelled(looks), marks)
    return Drawing("loss_curves", "Loss curves", _caption(study), figure)


def draw_loss(axes: Axes, runs: list[Run], pair_look: Look, scheduled: bool) -> None:
    """The seeds of one (a, b) in one condition, with the exact curve or the null behind them."""
    first = runs[0]
    theory, look = theory_line(first, pair_look[0])
    time = first.time(scheduled)
    shown = (time > 0) & (theory > 0)
    axes.plot(time[shown], theory[shown], **look)
    if np.isfinite(first.floor()):
        axes.axhline(first.floor(), **LEAST)
    later = [run.time(scheduled) > 0 for run in runs]
    times = [run.time(scheduled)[kept] for run, kept in zip(runs, later, strict=True)]
    losses = [_positive(run.relative_loss()[kept]) for run, kept in zip(runs, later, strict=True)]
    draw_band(axes, seed_band(times, losses), *pair_look)


def panel_title(condition: str, width: int = 42) -> str:
    """A condition's label broken into lines that fit above a panel; a dollar sign in it starts no formula."""
    return textwrap.fill(condition, width).replace("$", r"\$")


def theory_line(run: Run, colour: str) -> tuple[Float[np.ndarray, "t"], dict[str, Any]]:
    """L(t)/L(0) of this run's own theory and its look (ink dashes), or else of the null (coloured dots).

    A model without either, such as a language model, gives NaN.
    """
    own, null = run.theory(), run.null()
    if own is not None:
        return own.loss / own.loss[0], EXACT if own.exact else APPROXIMATE
    if null is not None:
        return null.loss / null.loss[0], NULL | {"color": colour}
    return np.full(len(run.curve), np.nan), {}


def loss_limits(runs: Sequence[Run]) -> tuple[float, float]:
    """Both ends of the axis of L(t)/L(0): below the least measured value and the least possible one, `FLOOR` at the
    latest; above the largest, but no higher than a diverging run may take it."""
    losses = np.concatenate([_positive(run.relative_loss()) for run in runs])
    lowest = min(float(np.nanmin(losses, initial=1.0)), *(run.floor() for run in runs if np.isfinite(run.floor())), 1.0)
    if lowest < 0.1:
        return max(FLOOR, 0.4 * lowest), HIGHEST
    return 0.8 * lowest, min(HIGHEST, 1.1 * float(np.nanmax(losses, initial=1.0)))


def _positive(values: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(values) & (values > 0), values, np.nan)


def _caption(study: Study) -> str:
    if study.reads_tokens:
        return _TOKEN_CAPTION + study.selection
    return (
        "Relative loss against training time, one panel for each condition. A straight line is a power law "
        "and its steepness the exponent α. Solid lines are the median over seeds and bands their full range. "
        "Dashed: exact solution for this student, drawn where one exists; measured and dashed lines must "
        "then coincide. Dash-dotted: the same formula where it leaves something out (values with a mean, "
        "sampled gradients, a schedule). Dotted, elsewhere: exact solution of the student without "
        "superposition (K = N) on the same N features, learning rate and schedule. A measured line that "
        "differs from the dotted one shows what the condition changed; a slope that the dotted line has too "
        "is an effect of finite N, not of superposition. The axis never goes below 1e−8." + study.selection
    )


_TOKEN_CAPTION = (
    "Relative loss of next-token prediction against training time, one panel for each condition. Solid lines are the "
    "median over seeds and bands their full range. The dashed line is the least loss that any model can reach, where "
    "it is known: of a synthetic language, for cross-entropy its entropy. A measured line can end a little below it, "
    "since the loss is measured on a finite sample."
)
