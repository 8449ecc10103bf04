"""Figure of superposition: every measure of the embedding over training time, one column a condition.

Of one condition the measures are panels side by side. Behind the lines stand the levels of random unit vectors and the
limits of `superposition_nulls`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from superdyn.report.choice import factorial
from superdyn.report.curves import panel_title
from superdyn.report.seeds import draw_band, seed_band
from superdyn.report.study import Run, Study
from superdyn.report.style import (
    INK,
    MUTED,
    WIDTHS,
    Drawing,
    Look,
    Pair,
    drawing_style,
    legend_below,
    log_axis,
    pair_looks,
)
from superdyn.report.superposition_nulls import LABELS, levels

MAX_COLUMNS = 4
RANDOM: dict[str, Any] = {"color": INK, "lw": 0.9, "ls": (0, (4, 2.5)), "zorder": 1.8}
LIMIT: dict[str, Any] = {"color": INK, "lw": 0.9, "ls": (0, (1, 1.6)), "zorder": 1.8}
MARKS = (
    Line2D([], [], color=MUTED, lw=1.8, label="measured (median, range of seeds)"),
    Line2D([], [], **RANDOM, label="random unit vectors"),
    Line2D([], [], **LIMIT, label="limit"),
)


def superposition_figure(study: Study) -> Drawing | None:
    """All measures of up to `MAX_COLUMNS` conditions; None where no run has any."""
    measures = recorded(study.runs)
    if not measures:
        return None
    conditions = _conditions(study)
    with drawing_style():
        looks = pair_looks(study.pairs)
        figure, panels = _panels(measures, [panel_title(name, 118 // len(conditions)) for name in conditions], study)
        for (measure, column), axes in panels.items():
            by_pair = study.groups[conditions[column]]
            _draw(axes, by_pair, measure, looks, study.scheduled)
        for measure in measures:
            scale(panels[measure, 0], _values(study, conditions, measure))
        legend_below(figure, study.labelled(looks), MARKS)
    total = len(study.groups)
    part = "" if len(conditions) == total else f" {len(conditions)} of {total} conditions are drawn."
    return Drawing("superposition", "Superposition", _CAPTION + part, figure)


def _conditions(study: Study) -> list[str]:
    """Those that are drawn, of all with measures."""
    names = [name for name, of in study.groups.items() if recorded(_all(of))]
    settings = [tuple(str(_all(study.groups[name])[0].row.get(key)) for key in study.keys) for name in names]
    return [names[i] for i in factorial(settings, MAX_COLUMNS)]


def recorded(runs: Sequence[Run]) -> list[str]:
    """The measures that some of the runs have, in the order of `LABELS`."""
    return [name for name in LABELS if any(name in run.curve for run in runs)]


def scale(axes: Axes, values: np.ndarray) -> None:
    """A logarithmic y where positive values span more than a decade, else a linear one from the data's own range."""
    values = values[np.isfinite(values)]
    if values.size and 0 < 10 * values.min() < values.max():
        log_axis(axes, "y")
    elif values.size and values.min() >= 0:
        axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]) if values.min() < 0.5 * values.max() else None)


def _panels(measures: Sequence[str], titles: Sequence[str], study: Study) -> tuple[Figure, dict[tuple[str, int], Axes]]:
    """By measure and place of the condition: a column a condition, or of one condition three measures a row."""
    alone = len(titles) == 1
    columns = 3 if alone else len(titles)
    rows = -(-len(measures) // 3) if alone else len(measures)
    width, height = WIDTHS.get(columns, 10.0), 2.1 if alone else 1.55
    figure = Figure(figsize=(width, rows * height + 1.2), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=False if alone else "row", squeeze=False)
    places = [(name, 0) for name in measures] if alone else [(n, c) for n in measures for c in range(columns)]
    panels = dict(zip(places, grid.flat, strict=False))
    for spare in grid.flat[len(places) :]:
        spare.remove()
    for index, ((measure, column), axes) in enumerate(panels.items()):
        log_axis(axes, "x")
        if alone:
            axes.set_title(LABELS[measure], fontsize=8)
        elif column == 0:
            axes.set_ylabel(LABELS[measure], fontsize=7.5)
        if not alone and measure == measures[0]:
            axes.set_title(titles[column], fontsize=8)
        if index + columns >= len(panels):
            axes.set_xlabel(study.time_label, fontsize=8)
            axes.tick_params(labelbottom=True)
    if alone:
        figure.suptitle(titles[0], fontsize=9, fontweight="bold", x=0.01, ha="left")
    return figure, panels


def _draw(axes: Axes, by_pair: dict[Pair, list[Run]], measure: str, looks: dict[Pair, Look], scheduled: bool) -> None:
    for pair, runs in by_pair.items():
        shown = [run for run in runs if measure in run.curve]
        if shown:
            times = [run.time(scheduled)[1:] for run in shown]
            draw_band(axes, seed_band(times, [run.curve[measure].to_numpy(float)[1:] for run in shown]), *looks[pair])
    sizes = {(int(run.row["data.n_features"]), int(run.row["model.width"])) for run in _all(by_pair)}
    for n_features, width in sizes:
        found = levels(measure, n_features, width)
        for level, look in ((found.random, RANDOM), (found.limit, LIMIT)):
            if level is not None:
                axes.axhline(level, **look)


def _values(study: Study, conditions: Sequence[str], measure: str) -> np.ndarray:
    runs = [run for name in conditions for run in _all(study.groups[name]) if measure in run.curve]
    return np.concatenate([run.curve[measure].to_numpy(float)[1:] for run in runs])


def _all(by_pair: dict[Pair, list[Run]]) -> list[Run]:
    return [run for runs in by_pair.values() for run in runs]


_CAPTION = (
    "Measures of the embedding W, a row W_i for each feature, against training time: the share of features with a row "
    "longer than ½; the mean of cos² between rows; the mean dimensionality D_i = ‖W_i‖²/Σ_j(Ŵ_i·W_j)², 1 for a feature "
    "alone in its dimension and ½ in an antipodal pair; K/‖W‖²; the participation ratio (Σσ²)²/Σσ⁴, the number of "
    "dimensions in use; and the share of the squares of W_dᵀBW_e that lies off its diagonal. Dashed: random unit "
    "vectors, whose cos² is 1/K on average (for the last panel those of WᵀW). Dotted: the least mean cos² of N unit "
    "vectors in K dimensions (the squared Welch bound), the largest mean of D_i and participation ratio, and K/N, "
    "which the share of represented features exceeds in superposition only. Step 0 has no place on a logarithmic axis."
)
