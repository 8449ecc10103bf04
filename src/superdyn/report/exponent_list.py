"""Figure of exponents one by one: a row for each (a, b) of a condition, with intervals, α_seq, α_rich and the null."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from superdyn.report.all_runs import records
from superdyn.report.curves import panel_title
from superdyn.report.exponents import LEVELS, MARKS, draw_marks, lower_limit, upper_limit
from superdyn.report.sparse_curves import ENOUGH, POINTS, named
from superdyn.report.study import Study, spread
from superdyn.report.style import GRID, INK, MUTED, Absent, Drawing, drawing_style, pair_colours

MAX_ROWS = 60
"""Rows of the list; the table of the page holds the others."""
SEQUENTIAL_MARK = Line2D([], [], color=INK, ls="", marker="|", ms=9, mew=1.6, label=r"$\alpha_{\rm seq}$")
HEADING = "Exponents one by one"


def forest_figure(study: Study) -> Drawing | Absent:
    """The list: one row an (a, b) of a condition, exponents along x; no row without an exponent."""
    measured = study.pooled[study.pooled[["alpha_long", "alpha_strict"]].notna().any(axis=1)]
    without = [condition for condition in study.groups if condition not in set(measured["condition"])]
    if measured.empty:
        return Absent("exponent_list", HEADING, _unfitted(study, without))
    found = list(dict.fromkeys(measured["condition"]))
    listed = spread(found, max(1, MAX_ROWS * len(found) // len(measured)))
    rows = measured[measured["condition"].isin(listed)]
    with drawing_style():
        figure = Figure(figsize=(8.6, 0.19 * (len(rows) + 1.4 * len(listed)) + 1.7), layout="constrained")
        axes = figure.subplots()
        axes.axvline(1, color=MUTED, lw=1.0, zorder=1.5)
        _draw_rows(axes, rows, study)
        axes.set_xlim(lower_limit(rows), upper_limit(rows))
        axes.grid(axis="y", color=GRID)
        axes.set_xlabel(r"exponent  $\alpha$")
        handles = [*MARKS[:2], LEVELS[1]] if study.reads_tokens else [*MARKS, SEQUENTIAL_MARK, LEVELS[1]]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)
    caption = _TOKEN_LIST_CAPTION if study.reads_tokens else _LIST_CAPTION
    if len(listed) < len(found):
        caption += f" {len(listed)} of {len(found)} conditions, evenly chosen, are listed; the table has all."
    return Drawing("exponent_list", HEADING, caption + (f" {_unfitted(study, without)}" if without else ""), figure)


def _draw_rows(axes: Axes, rows: pd.DataFrame, study: Study) -> None:
    colours, ticks, place = pair_colours(study.pairs), {}, 0.0
    top, edge = upper_limit(rows), axes.get_yaxis_transform()
    for condition, block in rows.groupby("condition", sort=False):
        axes.text(0.008, place, panel_title(str(condition), 200), weight="bold", va="center", transform=edge)
        place += 1.0
        for row in records(block):
            pair = (row["data.data_exponent"], row["data.importance_exponent"])
            draw_marks(axes, row, colours[pair], place, top, upright=False)
            ticks[place] = study.label(pair)
            place += 1.0
        place += 0.4
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.set_ylim(place - 0.2, -0.8)


def _unfitted(study: Study, conditions: list[str]) -> str:
    """Which conditions have no exponent, what the fit of the first says, and what would help."""
    run = next(run for run in study.runs if run.row["condition"] == conditions[0])
    points = int(run.row[POINTS])
    cure = f"; its {POINTS} was {points}, and {ENOUGH} is the default" if points < ENOUGH else ""
    return f"No exponent was measured of {named(conditions)}. The fit of the first says: {run.row['note']}{cure}."


_LIST_CAPTION = (
    "The same exponents one by one, with a bar for α_seq. Evidence for a universal exponent is a "
    "column of circles at α = 1 whose crosses and bars lie elsewhere; b = 0.5 has α_seq = 1 for every a and "
    "is no evidence."
)
_TOKEN_LIST_CAPTION = (
    "Exponents of each condition, with their confidence intervals over seeds: of L − L_least, as in the claims of "
    "language models, or, where the least loss of the evaluation tokens is not known (real text, runs of older "
    "versions), of L itself, floor included, so that a loss near its floor has a small exponent."
)
