"""Loss of evaluated checkpoints over training time, with the fitted power law, and the local exponent beside it.

No theory is drawn: none of the closed forms of this library is about a language model under cross-entropy.
"""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, ScalarFormatter

from superdyn import analysis
from superdyn.report.evaluated.lines import MAX_MODELS, legend, model_colours, model_marks, time, time_label
from superdyn.report.study import Run, Study
from superdyn.report.style import INK, MUTED, Drawing, drawing_style

LOSS_LABEL = r"loss  $L$  (nats per token)"
FIT: dict[str, Any] = {"color": INK, "lw": 0.9, "ls": (0, (3, 3)), "zorder": 3}
THIRD = 1 / 3
_MARKS = (
    Line2D([], [], color=MUTED, lw=1.6, marker="o", ms=2.5, label="measured revisions"),
    Line2D([], [], **FIT, label=r"fit  $L_{\rm inf} + C\,(t+t_0)^{-\alpha}$"),
    Line2D([], [], color=MUTED, lw=1.0, label=r"level $\alpha = 1/3$ (right)"),
)


def loss_figure(study: Study) -> Drawing:
    """Curves on the left, local exponents on the right where any model has revisions enough."""
    runs = study.evaluations[:MAX_MODELS]
    looks = [
        {"color": colour, "marker": mark, "ms": 3.2, "lw": 1.6}
        for colour, mark in zip(model_colours(runs), model_marks(runs), strict=True)
    ]
    slopes = [_slope(run) for run in runs]
    has_slopes = any(middle.size for middle, _ in slopes)
    with drawing_style():
        figure = Figure(figsize=(9.4 if has_slopes else 4.9, 4.1), layout="constrained")
        left, *right = figure.subplots(1, 1 + has_slopes, sharex=True, squeeze=False)[0]
        for run, look in zip(runs, looks, strict=True):
            _draw_loss(left, run, look)
        left.set(xlabel=time_label(runs), ylabel=LOSS_LABEL)
        for axes in right:
            _draw_slopes(axes, slopes, looks)
            axes.set(xlabel=time_label(runs), ylabel=r"local exponent of  $L$")
        legend(figure, runs, _MARKS if has_slopes else _MARKS[:2])
    return Drawing("evaluation_loss", "Loss of the checkpoints", _CAPTION + (_RIGHT if has_slopes else _ABSENT), figure)


def log_loss_axes(axes: Axes) -> None:
    """Logarithmic axes for a loss that spans less than a decade or two: plain numbers on the left."""
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0), numticks=12))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())


def _draw_loss(left: Axes, run: Run, look: dict[str, Any]) -> None:
    t, loss = time(run), run.curve["loss"].to_numpy(float)
    later = t > 0
    left.plot(t[later], loss[later], **look)
    log_loss_axes(left)
    row = run.row
    if np.isfinite(row["alpha"]) and np.isfinite(row["window_start"]):
        grid = np.geomspace(row["window_start"], row["window_end"], 100)
        left.plot(grid, row["L_inf"] + row["C"] * (grid + row["t0"]) ** -row["alpha"], **FIT)


def _slope(run: Run) -> tuple[np.ndarray, np.ndarray]:
    t, loss = time(run), run.curve["loss"].to_numpy(float)
    return analysis.local_slope(t[t > 0], loss[t > 0])


def _draw_slopes(axes: Axes, slopes: list[tuple[np.ndarray, np.ndarray]], looks: list[dict[str, Any]]) -> None:
    for (middle, slope), look in zip(slopes, looks, strict=True):
        axes.plot(middle, slope, **look)
    axes.axhline(THIRD, color=MUTED, lw=1.0, zorder=1)
    axes.set_xscale("log")


_CAPTION = (
    "Cross-entropy of each revision on the same tokens, in nats per token; step 0 has no place on a logarithmic "
    "axis. Dashed: the fitted L_inf + C (t + t_0)^−α over its window, whose α, interval and floor are in the table. "
    "No theory is drawn beside these curves, since none of the closed forms of this library is about a language model. "
)
_RIGHT = (
    "Right: the local exponent −d log L/d log t of the loss as it is, floor included, t being the time on the axis; a "
    "power law without a floor is a horizontal stretch, and a floor bends the line down. The grey level is α = 1/3, "
    "which has been reported for language models under softmax and cross-entropy against learning-rate time."
)
_ABSENT = "Not drawn is the local exponent: no model has four revisions within 0.4 decade of its training time."
