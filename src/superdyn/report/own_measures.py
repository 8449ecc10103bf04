"""Measures of the user's own that are a number per run, over training: one figure each, one panel a condition.

They are the columns of a curve that superdyn does not write itself, in runs with `trainer.measures`.
"""

import re

import numpy as np

from superdyn.models.measure_names import EMBEDDING_MEASURES
from superdyn.report.curves import panel_title
from superdyn.report.seeds import draw_band, seed_band
from superdyn.report.study import Study
from superdyn.report.style import (
    Drawing,
    drawing_style,
    label_short_range,
    legend_below,
    log_axis,
    pair_looks,
    panel_grid,
)
from superdyn.runs.folder import CURVE_COLUMNS
from superdyn.runs.record import LATER_COLUMNS

SUPERDYNS = frozenset({
    *CURVE_COLUMNS, *LATER_COLUMNS, "loss_floor", *EMBEDDING_MEASURES,
})  # fmt: skip
"""Columns of curves that are not the user's."""


def own_measure_figures(study: Study) -> list[Drawing]:
    """A figure for every measure that some run has, in the order in which they were recorded."""
    measured = [run.curve for run in study.runs if run.row.get("trainer.measures")]
    names = dict.fromkeys(name for curve in measured for name in curve.columns if name not in SUPERDYNS)
    return [_figure(study, name) for name in names]


def _figure(study: Study, name: str) -> Drawing:
    values = np.concatenate([run.curve[name].to_numpy(float)[1:] for run in study.runs if name in run.curve])
    values = values[np.isfinite(values)]
    with drawing_style():
        looks = pair_looks(study.pairs)
        figure, panels = panel_grid(len(study.panels), study.time_label, name.replace("$", r"\$"))
        for axes, (condition, by_pair) in zip(panels, study.panels.items(), strict=True):
            axes.set_title(panel_title(condition))
            log_axis(axes, "x")
            for pair, runs in by_pair.items():
                shown = [run for run in runs if name in run.curve]
                if shown:
                    times = [run.time(study.scheduled)[1:] for run in shown]
                    draw_band(axes, seed_band(times, [r.curve[name].to_numpy(float)[1:] for r in shown]), *looks[pair])
        if values.size and 0 < 10 * values.min() < values.max():
            log_axis(panels[0], "y")
            label_short_range(panels[0])
        legend_below(figure, study.labelled(looks), [])
    caption = (
        f"The measure {name} (trainer.measures) against training time, one panel for each condition: median over seeds "
        "and their range. Step 0 has no place on a logarithmic axis."
    )
    return Drawing("measure_" + re.sub(r"\W+", "_", name), f"Measure: {name}", caption + study.selection, figure)
