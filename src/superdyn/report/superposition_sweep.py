"""Figures of superposition over what was swept: every measure at the end of training, one figure a swept number.

A line holds the runs that differ in the swept key and the seed alone; levels as in `superposition`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from superdyn.report.choice import factorial
from superdyn.report.conditions import PAIR_KEYS, SHORT, condition_label
from superdyn.report.study import Run, Study
from superdyn.report.style import MARKERS, Drawing, Look, drawing_style, legend_below, log_axis
from superdyn.report.superposition import LIMIT, MARKS, RANDOM, recorded, scale
from superdyn.report.superposition_nulls import LABELS, levels

MAX_KEYS, MAX_LINES, LEAST_VALUES = 3, 9, 3
AXIS_NAMES = SHORT | {"data.data_exponent": "a", "data.importance_exponent": "b"}
LOG_FROM = 8.0
"""Ratio of the largest to the least value from which the axis is logarithmic."""


@dataclass(frozen=True)
class _Line:
    """Runs by the value of the swept key, ascending."""

    label: str
    settings: tuple[str, ...]
    runs: dict[float, list[Run]]


def swept_superposition_figures(study: Study) -> list[Drawing]:
    """One for each of the numbers with at least three values among the finished runs, those with most values first."""
    values = {key: _values_of(study, key) for key in dict.fromkeys([*study.keys, *PAIR_KEYS])}
    keys = [key for key in sorted(values, key=lambda key: -len(values[key])) if len(values[key]) >= LEAST_VALUES]
    found = {key: _lines(study, key) for key in keys[:MAX_KEYS]}
    return [_figure(study, key, lines) for key, lines in found.items() if lines]


def _values_of(study: Study, key: str) -> set[float]:
    """The distinct values of a key that holds numbers; none of another."""
    values = [run.row.get(key) for run in study.runs]
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return {value for value in numbers if np.isfinite(value)} if len(numbers) == len(values) else set()


def _lines(study: Study, key: str) -> list[_Line]:
    others = [k for k in dict.fromkeys([*study.keys, *PAIR_KEYS]) if k != key]
    varied = [k for k in others if len({str(run.row.get(k)) for run in study.runs}) > 1]
    lines: dict[str, _Line] = {}
    for run in study.runs:
        if recorded([run]):
            settings = tuple(str(run.row.get(k)) for k in varied)
            label = condition_label({AXIS_NAMES[k] if k in PAIR_KEYS else k: run.row.get(k) for k in varied})
            line = lines.setdefault(label, _Line(label, settings, {}))
            line.runs.setdefault(float(run.row[key]), []).append(run)
    return [replace(of, runs=dict(sorted(of.runs.items()))) for of in lines.values() if len(of.runs) >= LEAST_VALUES]


def _figure(study: Study, key: str, lines: Sequence[_Line]) -> Drawing:
    measures = recorded([run for line in lines for runs in line.runs.values() for run in runs])
    shown = [lines[i] for i in factorial([line.settings for line in lines], MAX_LINES)]
    looks = _looks(shown)
    name = AXIS_NAMES.get(key)
    with drawing_style():
        figure = Figure(figsize=(10.0, -(-len(measures) // 3) * 2.2 + 1.2), layout="constrained")
        grid = figure.subplots(-(-len(measures) // 3), 3, sharex=True, squeeze=False)
        for spare in grid.flat[len(measures) :]:
            spare.remove()
        for index, (measure, axes) in enumerate(zip(measures, grid.flat, strict=False)):
            axes.set_title(LABELS[measure], fontsize=8)
            _draw(axes, shown, measure, looks)
            if index + 3 >= len(measures):
                axes.set_xlabel(f"{name}  ({key})" if name else key, fontsize=8)
                axes.tick_params(labelbottom=True)
        values = sorted({value for line in shown for value in line.runs})
        if values[0] > 0 and values[-1] >= LOG_FROM * values[0]:
            log_axis(grid.flat[0], "x")
        legend_below(figure, {line.label.replace("$", r"\$"): looks[line.label] for line in shown if line.label}, MARKS)
    part = (
        ""
        if len(shown) == len(lines)
        else f" {len(shown)} of {len(lines)} lines are drawn, a few values of each key in all combinations."
    )
    stem = "superposition_by_" + key.rpartition(".")[2]
    return Drawing(stem, f"Superposition over {name or key.rpartition('.')[2]}", _CAPTION + part, figure)


def _looks(lines: Sequence[_Line]) -> dict[str, Look]:
    """From light to dark in the order of the conditions, each with a mark of its own."""
    shades = colormaps["viridis_r"](np.linspace(0.15, 0.95, len(lines)) if len(lines) > 1 else np.array([0.6]))
    return {line.label: (to_hex(shade), MARKERS[i]) for i, (line, shade) in enumerate(zip(lines, shades, strict=True))}


def _draw(axes: Axes, lines: Sequence[_Line], measure: str, looks: dict[str, Look]) -> None:
    drawn: list[float] = []
    references: dict[tuple[tuple[float | None, ...], ...], tuple[list[float], str]] = {}
    for line in lines:
        ends = {at: [float(run.curve[measure].iloc[-1]) for run in runs if measure in run.curve]
                for at, runs in line.runs.items()}  # fmt: skip
        ends = {at: values for at, values in ends.items() if np.isfinite(values).any()}
        colour, mark = looks[line.label]
        for at, of in ends.items():
            axes.vlines(at, min(of), max(of), color=colour, lw=1)
        axes.plot(list(ends), [np.nanmedian(of) for of in ends.values()], color=colour, marker=mark, ms=4, lw=1.2)
        drawn += [value for of in ends.values() for value in of]
        found = [levels(measure, *_size(runs[0])) for runs in line.runs.values()]
        references.setdefault(tuple((f.random, f.limit) for f in found), (list(line.runs), colour))
    for pairs, (at, colour) in references.items():
        for values, look in zip(zip(*pairs, strict=True), (RANDOM, LIMIT), strict=True):
            if None not in values:
                own: dict[str, Any] = {} if len(references) == 1 else {"color": colour}
                axes.plot(at, values, **{**look, **own})
    scale(axes, np.array(drawn))


def _size(run: Run) -> tuple[int, int]:
    return int(run.row["data.n_features"]), int(run.row["model.width"])


_CAPTION = (
    "The measures of the figure before at the end of training: median over seeds and their range, over what was swept. "
    "Dashed and dotted lines are its levels of random unit vectors and its limits, in the colour of a line where "
    "widths or numbers of features differ between lines."
)
