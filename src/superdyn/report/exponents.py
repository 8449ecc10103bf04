"""Figure of exponents: measured against theory, as a map (`exponent_list` has them one by one).

The map puts the measured exponent over α_seq = (a + 2b − 1)/a: one-by-one learning lies on the diagonal, a
universal exponent on the horizontal line 1. In it stand α_rich = (a + 2b − 1)/(a + b) and the null, the slope of the
exact K = N curve of the same finite N.
"""

from collections import Counter
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from superdyn.report.all_runs import records
from superdyn.report.curves import panel_title
from superdyn.report.sparse_curves import named
from superdyn.report.study import Study
from superdyn.report.style import (
    INK,
    MUTED,
    Absent,
    Drawing,
    drawing_style,
    legend_below,
    pair_colours,
    panel_grid,
)

SEQUENTIAL_LABEL = r"sequential exponent  $\alpha_{\rm seq} = (a+2b-1)/a$"
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


def exponents_figure(study: Study) -> Drawing | Absent:
    """The map: one panel a condition, measured exponent over α_seq; no panel where no (a, b) has both."""
    pooled = study.pooled
    placed = set(pooled.loc[pooled[["alpha_sequential", "alpha_long"]].notna().all(axis=1), "condition"])
    shown = [condition for condition in study.panels if condition in placed]
    left_out = [condition for condition in study.panels if condition not in placed]
    if not shown:
        return Absent("exponents", "Exponents against theory", NO_PLACE.format(named(left_out)))
    top = upper_limit(pooled)
    with drawing_style():
        colours = pair_colours(study.pairs)
        figure, panels = panel_grid(len(shown), SEQUENTIAL_LABEL, r"exponent  $\alpha$", height=2.8)
        for axes, condition in zip(panels, shown, strict=True):
            axes.set_title(panel_title(condition))
            axes.axline((0, 0), slope=1, color=MUTED, lw=1.0, ls=(0, (4, 2)), zorder=1.5)
            axes.axhline(1, color=MUTED, lw=1.0, zorder=1.5)
            beyond: Counter[float] = Counter()
            for row in records(pooled.loc[pooled["condition"] == condition]):
                pair = (row["data.data_exponent"], row["data.importance_exponent"])
                place = row["alpha_sequential"]
                draw_marks(axes, row, colours[pair], place, top, upright=True, written=beyond[round(place, 2)])
                beyond[round(place, 2)] += row["alpha_null_long"] > top
        panels[0].set_xlim(0, 1.12 * float(np.nanmax(pooled["alpha_sequential"].to_numpy(float), initial=1.0)))
        panels[0].set_ylim(lower_limit(pooled), top)
        plain = {pair: (colour, "") for pair, colour in colours.items()}
        legend_below(figure, study.labelled(plain), (*MARKS, *LEVELS))
    caption = _MAP_CAPTION + study.selection + (f" {NO_PLACE.format(named(left_out))}" if left_out else "")
    return Drawing("exponents", "Exponents against theory", caption, figure)


def draw_marks(
    axes: Axes, row: dict[str, Any], colour: str, place: float, top: float, *, upright: bool, written: int = 0
) -> None:
    """All marks of one (a, b): over `place` (`upright`) or along that row; `top` ends the axis of α, and so many nulls
    beyond it are written there already."""

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
        where = (place, (0.95 - 0.055 * written) * top) if upright else (0.975 * top, place)
        align: dict[str, Any] = {"ha": "center", "va": "top"} if upright else {"ha": "right", "va": "center"}
        axes.text(*where, f"{row['alpha_null_long']:.1f}", fontsize=7, **align)


def upper_limit(pooled: pd.DataFrame) -> float:
    """End of the axis of α: room for all but the null, which has no bound where its curve is exponential."""
    drawn = pooled[["alpha_long_high", "alpha_strict_high", "alpha_rich", "alpha_long", "alpha_sequential"]]
    return 1.15 * float(np.nanmax(drawn.to_numpy(float), initial=1.2))


def lower_limit(pooled: pd.DataFrame) -> float:
    """The other end: 0, or below the intervals that reach farther."""
    return 1.1 * float(np.nanmin(pooled[["alpha_long_low", "alpha_strict_low"]].to_numpy(float), initial=0.0))


NO_PLACE = "Not drawn, since no (a, b) has both an exponent and an α_seq, which needs a + 2b > 1: {}."
_MAP_CAPTION = (
    "Measured exponent of each (a, b) over the exponent α_seq of learning one feature after another. Filled "
    "circles: long-window exponent with its confidence interval over seeds. Open squares: strict exponent, "
    "present only where the local exponent is flat. Points on the dashed diagonal follow sequential "
    "learning; points on the line α = 1, wherever they lie along x, would be a universal exponent. Crosses "
    "are the null, the slope of the exact K = N curve of the same finite N in the same window: a circle on "
    "its cross is what a student without superposition gives. An arrow at the edge with a number is a null beyond "
    "it: there the K = N curve ends exponentially inside the window. Diamonds are α_rich, expected when "
    "embedding and core are both trained. An (a, b) with a + 2b ≤ 1 has no α_seq and no place here."
)
