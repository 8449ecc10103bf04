"""Figures 3 and 4: measured exponents against theory, as a map and as a list.

The map puts the measured exponent over α_seq = (a + 2b − 1)/a: one-by-one learning lies on the diagonal, a
universal exponent on the horizontal line 1. The list gives the same numbers row by row with their intervals.
In both stand α_rich = (a + 2b − 1)/(a + b) and the null, the slope of the exact K = N curve of the same
finite N.
"""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from superdyn.report.all_runs import records
from superdyn.report.curves import panel_title
from superdyn.report.sparse_curves import named
from superdyn.report.study import Study
from superdyn.report.style import (
    GRID,
    INK,
    MUTED,
    Absent,
    Drawing,
    drawing_style,
    legend_below,
    pair_colours,
    pair_label,
    panel_grid,
)

SEQUENTIAL_LABEL = r"sequential exponent  $\alpha_{\rm seq} = (a+2b-1)/a$"
MAX_ROWS = 60
"""Rows of the list; the table of the page holds the others."""
MARKS = (
    Line2D([], [], color=INK, marker="o", ms=5, lw=1.2, label="measured, long window"),
    Line2D([], [], color=INK, marker="s", ms=4.5, mfc="white", lw=1.2, label="measured, strict (flat slope only)"),
    Line2D([], [], color=INK, ls="", marker="x", ms=5, label="null: exact K = N, same N and window"),
    Line2D([], [], color=INK, ls="", marker="D", ms=4.5, mfc="white", label=r"$\alpha_{\rm rich}$"),
)
LEVELS = (
    Line2D([], [], color=MUTED, lw=1.0, ls=(0, (4, 2)), label=r"$\alpha = \alpha_{\rm seq}$"),
    Line2D([], [], color=MUTED, lw=1.0, label=r"$\alpha = 1$"),
)
SEQUENTIAL_MARK = Line2D([], [], color=INK, ls="", marker="|", ms=9, mew=1.6, label=r"$\alpha_{\rm seq}$")


def exponents_figure(study: Study) -> Drawing | Absent:
    """The map: one panel a condition, measured exponent over α_seq; no panel where no (a, b) has both."""
    pooled = study.pooled
    placed = set(pooled.loc[pooled[["alpha_sequential", "alpha_long"]].notna().all(axis=1), "condition"])
    shown = [condition for condition in study.panels if condition in placed]
    left_out = [condition for condition in study.panels if condition not in placed]
    if not shown:
        return Absent("exponents", "Exponents against theory", NO_PLACE.format(named(left_out)))
    top = _upper_limit(pooled)
    with drawing_style():
        colours = pair_colours(study.pairs)
        figure, panels = panel_grid(len(shown), SEQUENTIAL_LABEL, r"exponent  $\alpha$", height=2.8)
        for axes, condition in zip(panels, shown, strict=True):
            axes.set_title(panel_title(condition))
            axes.axline((0, 0), slope=1, color=MUTED, lw=1.0, ls=(0, (4, 2)), zorder=1.5)
            axes.axhline(1, color=MUTED, lw=1.0, zorder=1.5)
            for row in records(pooled.loc[pooled["condition"] == condition]):
                pair = (row["data.data_exponent"], row["data.importance_exponent"])
                _draw_marks(axes, row, colours[pair], row["alpha_sequential"], top, upright=True)
        panels[0].set_xlim(0, 1.12 * float(np.nanmax(pooled["alpha_sequential"].to_numpy(float), initial=1.0)))
        panels[0].set_ylim(0, top)
        legend_below(figure, {pair: (colour, "") for pair, colour in colours.items()}, (*MARKS, *LEVELS))
    caption = _MAP_CAPTION + study.selection + (f" {NO_PLACE.format(named(left_out))}" if left_out else "")
    return Drawing("exponents", "Exponents against theory", caption, figure)


def forest_figure(study: Study) -> Drawing:
    """The list: one row an (a, b) of a condition, exponents along x."""
    pooled = study.pooled.head(MAX_ROWS)
    top = _upper_limit(pooled)
    blocks = list(pooled.groupby("condition", sort=False))
    with drawing_style():
        colours = pair_colours(study.pairs)
        lines = len(pooled) + 1.4 * len(blocks)
        figure = Figure(figsize=(8.6, 0.19 * lines + 1.7), layout="constrained")
        axes = figure.subplots()
        axes.axvline(1, color=MUTED, lw=1.0, zorder=1.5)
        ticks, labels, place = [], [], 0.0
        for condition, block in blocks:
            axes.text(
                0.008,
                place,
                panel_title(str(condition), 200),
                weight="bold",
                va="center",
                transform=axes.get_yaxis_transform(),
            )
            place += 1.0
            for row in records(block):
                pair = (row["data.data_exponent"], row["data.importance_exponent"])
                _draw_marks(axes, row, colours[pair], place, top, upright=False)
                ticks, labels, place = [*ticks, place], [*labels, pair_label(pair)], place + 1.0
            place += 0.4
        axes.set_yticks(ticks, labels)
        axes.set(ylim=(place - 0.2, -0.8), xlim=(min(0.0, 1.1 * pooled["alpha_long"].min()), top))
        axes.grid(axis="y", color=GRID)
        axes.set_xlabel(r"exponent  $\alpha$")
        handles = [*MARKS[:2], LEVELS[1]] if study.reads_tokens else [*MARKS, SEQUENTIAL_MARK, LEVELS[1]]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    caption = _TOKEN_LIST_CAPTION if study.reads_tokens else _LIST_CAPTION
    return Drawing("exponent_list", "Exponents one by one", caption, figure)


def _draw_marks(axes: Axes, row: dict[str, Any], colour: str, place: float, top: float, *, upright: bool) -> None:
    """All marks of one (a, b): over `place` (`upright`) or along that row; `top` ends the axis of α."""

    def mark(value: float, **look: Any) -> None:
        axes.plot(*((place, value) if upright else (value, place)), color=colour, ls="", **look)

    for name, look in (
        ("alpha_long", {"mfc": colour, "marker": "o", "ms": 5.5, "zorder": 5}),
        ("alpha_strict", {"mfc": "white", "marker": "s", "ms": 5, "zorder": 4}),
    ):
        ends = [row[f"{name}_low"], row[f"{name}_high"]]
        axes.plot(*(([place, place], ends) if upright else (ends, [place, place])), color=colour, lw=1.3, zorder=3)
        mark(row[name], **look)
    mark(row["alpha_rich"], marker="D", ms=4.5, mfc="none", zorder=3.5)
    if not upright:
        mark(row["alpha_sequential"], marker="|", ms=9, mew=1.6, zorder=3.5)
    if row["alpha_null_long"] <= top:
        mark(row["alpha_null_long"], marker="x", ms=8, mew=1.2, zorder=3.5)
    elif row["alpha_null_long"] > top:
        mark(0.99 * top, marker="^" if upright else ">", ms=5, zorder=3.5)
        where = (place, 0.95 * top) if upright else (0.975 * top, place)
        align: dict[str, Any] = {"ha": "center", "va": "top"} if upright else {"ha": "right", "va": "center"}
        axes.text(*where, f"{row['alpha_null_long']:.1f}", fontsize=7, **align)


def _upper_limit(pooled: pd.DataFrame) -> float:
    """End of the axis of α: room for all but the null, which has no bound where its curve is exponential."""
    drawn = pooled[["alpha_long_high", "alpha_strict_high", "alpha_rich", "alpha_long", "alpha_sequential"]]
    return 1.15 * float(np.nanmax(drawn.to_numpy(float), initial=1.2))


NO_PLACE = "Not drawn, since no (a, b) has both an exponent and an α_seq, which needs a + 2b > 1: {}."
_MAP_CAPTION = (
    "Measured exponent of each (a, b) over the exponent α_seq of learning one feature after another. Filled "
    "circles: long-window exponent with its confidence interval over seeds. Open squares: strict exponent, "
    "present only where the local exponent is flat. Points on the dashed diagonal follow sequential "
    "learning; points on the line α = 1, wherever they lie along x, would be a universal exponent. Crosses "
    "are the null, the slope of the exact K = N curve of the same finite N in the same window: a circle that "
    "sits on its cross is what no superposition gives. An arrow at the edge with a number is a null beyond "
    "it: there the K = N curve ends exponentially inside the window. Diamonds are α_rich, expected when "
    "embedding and core are both trained. An (a, b) with a + 2b ≤ 1 has no α_seq and no place here."
)
_LIST_CAPTION = (
    "The same exponents one by one, with a bar for α_seq. Evidence for a universal exponent is a "
    "column of circles at α = 1 whose crosses and bars lie elsewhere; b = 0.5 has α_seq = 1 for every a and "
    "is no evidence."
)
_TOKEN_LIST_CAPTION = (
    "Exponents of the loss of each condition, with their confidence intervals over seeds: of L itself, in which the "
    "floor is still contained, so that a loss near its floor has a small one. Claims of language models judge "
    "L − L_least."
)
