"""Figure of width: the final loss over the width K or the rank of a factorised unembedding, L ∝ K^-β.

One panel a condition, one colour and mark an (a, b), the line of the fit with its β beside the panel, and the guide
1/K, which is β = 1. What a line is and how β is fitted: `width_lines`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, StrMethodFormatter

from superdyn.analysis.claims.token_width import RANK, WIDTH
from superdyn.report.curves import panel_title
from superdyn.report.study import Study, spread
from superdyn.report.style import (
    INK,
    MUTED,
    Drawing,
    Look,
    drawing_style,
    label_short_range,
    legend_below,
    legend_beside,
    log_axes,
    pair_looks,
    panel_grid,
    with_interval,
)
from superdyn.report.width_lines import WidthLine

AXIS = {WIDTH: r"width  $K$", RANK: r"rank of the unembedding  $r$"}
GUIDE: dict[str, Any] = {"color": MUTED, "lw": 1.1, "ls": (0, (1, 1.6)), "zorder": 1.5}
BENT = (0, (4, 2))
LABELLED_WIDTHS = 8
MARKS = (
    Line2D([], [], color=INK, ls="", marker="o", ms=4.5, label="measured, mean and range of seeds"),
    Line2D([], [], color=INK, lw=1.3, label=r"fit $L \propto K^{-\beta}$"),
    Line2D([], [], color=INK, lw=1.3, ls=BENT, label="the same, but no power law"),
    Line2D([], [], **GUIDE, label=r"guide $1/K$ ($\beta = 1$)"),
)
TOKEN_MARKS = (
    Line2D([], [], color=INK, ls="", marker="o", ms=4.5, mfc="white", label="not converged (fit dashed if too many)"),
    Line2D([], [], color=INK, lw=0.8, marker=".", ms=3, label="shorter training"),
)


def widths_figure(study: Study, lines: Sequence[WidthLine]) -> Drawing:
    """The small multiples of final losses over width; `lines` are those of `width_lines(study)`, at least one."""
    panels = _panels(lines)
    shown = spread(list(panels), study.most_panels)
    alone = len(study.pairs) == 1
    with drawing_style():
        looks = pair_looks(study.pairs)
        figure, grid = panel_grid(len(shown), "", _loss_label(study, lines), height=2.7, beside=not alone)
        for axes, key in zip(grid, shown, strict=True):
            dimension, condition = key
            note = f"\n{_of_length(panels[key][0])}" if alone else ""
            axes.set_title(panel_title(condition, 42 if alone else 58) + note)
            axes.set_xlabel(AXIS[dimension])
            axes.tick_params(labelbottom=True)
            log_axes(axes)
            for line in panels[key]:
                _draw_line(axes, line, looks[line.pair], study.law_label(line.pair))
            _draw_guide(axes, panels[key])
            if not alone:
                legend_beside(axes)
        _number_axes(grid[0], lines)
        more = TOKEN_MARKS if study.reads_tokens else ()
        legend_below(figure, {} if alone else study.labelled(looks), (*MARKS, *more))
    caption = _TOKEN_CAPTION if study.reads_tokens else _CAPTION
    part = "" if len(shown) == len(panels) else f" {len(shown)} of {len(panels)} conditions, evenly chosen, are drawn."
    return Drawing("final_loss_by_width", "Final loss over width", caption + part, figure)


def beta_text(line: WidthLine) -> str:
    """`β = 0.93 [0.69, 1.16]`."""
    return "β not measured" if not np.isfinite(line.beta) else f"β = {with_interval(line.beta, line.interval)}"


def _of_length(line: WidthLine) -> str:
    return f"{line.steps:,} steps, {beta_text(line)}" if line.steps else beta_text(line)


def _panels(lines: Sequence[WidthLine]) -> dict[tuple[str, str], list[WidthLine]]:
    panels: dict[tuple[str, str], list[WidthLine]] = {}
    for line in lines:
        panels.setdefault((line.dimension, line.condition), []).append(line)
    return {key: sorted(of, key=lambda line: line.pair[::-1]) for key, of in panels.items()}


def _draw_line(axes: Axes, line: WidthLine, look: Look, law: str) -> None:
    at, mean, (colour, mark) = line.at, line.mean, look
    axes.vlines(at, *line.range, color=colour, lw=1.2)
    out = (mean > 0) & (True if line.converged is None else line.converged)
    for chosen, fill in ((out, colour), (~out & (mean > 0), "white")):
        axes.plot(at[chosen], mean[chosen], mark, ms=4.5, color=colour, mfc=fill, zorder=4)
    for dimension, loss in line.shorter.values():
        axes.plot(dimension, np.where(loss > 0, loss, np.nan), color=colour, lw=0.8, marker=".", ms=3)
    style: dict[str, Any] = {"color": colour, "ls": "-" if line.straight and line.trained_out is not False else BENT}
    axes.plot([], [], marker=mark, ms=4, lw=1.3, label=f"{law}: {beta_text(line)}", **style)
    if np.isfinite(line.beta):
        grid = at[line.fitted]
        centre = np.mean(np.log(mean[line.fitted]) + line.beta * np.log(grid))
        axes.plot(grid, np.exp(centre) * grid**-line.beta, lw=1.3, **style)


def _draw_guide(axes: Axes, lines: Sequence[WidthLine]) -> None:
    """A line of slope −1 through the middle of where the measured ones begin."""
    ends = np.array([line.at[[0, -1]] for line in lines])
    first = [line.mean[0] * line.at[0] for line in lines if line.mean[0] > 0]
    if first:
        at = np.array([ends.min(), ends.max()])
        axes.plot(at, np.exp(np.mean(np.log(first))) / at, **GUIDE)


def _number_axes(axes: Axes, lines: Sequence[WidthLine]) -> None:
    """Plain numbers: the widths themselves while they are few."""
    widths = sorted({float(width) for line in lines for width in line.at})
    if len(widths) <= LABELLED_WIDTHS:
        axes.xaxis.set_major_locator(FixedLocator(widths))
        axes.xaxis.set_minor_locator(FixedLocator([]))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    label_short_range(axes)


def _loss_label(study: Study, lines: Sequence[WidthLine]) -> str:
    unit = " (nats)" if study.reads_tokens and {run.row["loss"] for run in study.runs} == {"cross_entropy"} else ""
    if all(line.above_least for line in lines):
        return r"final loss above the least  $L - L_{\rm least}$" + unit
    return (
        "final loss, above the least if known" if any(line.above_least for line in lines) else "final loss  $L$"
    ) + unit


_CAPTION = (
    "Loss at the end of training over the width K, one panel for each condition, on logarithmic axes. Marks are means"
    " over seeds, bars their full range. Solid: the fit L ∝ K^−β, whose β stands beside the panel; brackets are the "
    "least and largest local exponent between neighbouring widths; wide brackets mean no power law. Dashed: "
    "these differ by more than 0.5, and β is the mean steepness of a curve. Dotted: 1/K, the expectation in "
    "superposition. β and brackets are those of the claim table."
)
_TOKEN_CAPTION = (
    "What is left of the loss at the end of training over the width K (d_model) or the rank r of a factorised "
    "unembedding: above the least loss that any model can reach on the same tokens where that is known. Marks are "
    "means over seeds at the best learning rate of each width, bars their full range. Where there are shorter "
    "trainings (thin lines with points), filled marks have converged: the longest training leaves at least 0.8 of "
    "what the shortest does. The fit L ∝ K^−β goes through these if there are three, else through all. Brackets are "
    "95 % intervals over seeds, or with one seed the range of the local exponents. Dashed: no power law, or not "
    "converged; then β describes the training and not the width. Dotted: 1/K. β of the width is that of the claim "
    "table."
)
