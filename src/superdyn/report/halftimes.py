"""Figure of half-times: t_½(i) of every feature against its rank i, and its exponent z.

t_½(i) is the time at which ℓ_i has fallen to half of ℓ_i(0); sequential learning gives t_½ ∝ 1/λ_i ∝ i^a,
that is z = a. Points are medians over seeds; features that have not halved by the end are absent, and their
number is printed. `token_halftimes` draws the same of bins of tokens.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from superdyn import analysis
from superdyn.report.conditions import PAIR_KEYS
from superdyn.report.curves import panel_title
from superdyn.report.heatmap import guide_anchor, relative_spectrum
from superdyn.report.sparse_curves import named
from superdyn.report.study import Run, Study
from superdyn.report.style import (
    INK,
    Absent,
    Drawing,
    Look,
    Pair,
    drawing_style,
    label_short_range,
    legend_below,
    legend_beside,
    log_axes,
    pair_looks,
    panel_grid,
    with_interval,
)
from superdyn.runs.folder import RunFolder

MAX_POINTS, LEAST_POINTS, MOST_IN_ALL = 100, 15, 2500
"""Points a line, at most and at least, and of all lines; more features are thinned evenly in log rank, but the fit in
`analysis` uses all."""
FIT: dict[str, Any] = {"lw": 1.3}
GUIDE: dict[str, Any] = {"lw": 0.8, "ls": (0, (4, 2)), "zorder": 1.5, "alpha": 0.6}
MARKS = (
    Line2D([], [], color=INK, ls="", marker="o", ms=3, label=r"measured $t_{1/2}(i)$, median of seeds"),
    Line2D([], [], color=INK, **FIT, label=r"fit $t_{1/2} \propto i^{\,z}$"),
    Line2D([], [], color=INK, **GUIDE, label=r"sequential learning, $z = a$"),
)


@dataclass(frozen=True)
class HalfTimes:
    """Half-times of one (a, b) in one condition: medians over seeds, z with its interval, and the ranks of its fit."""

    ranks: Float[np.ndarray, "n"]
    times: Float[np.ndarray, "n"]
    z: float
    interval: tuple[float, float]
    fitted: tuple[int, int]


Panels = Mapping[str, Mapping[Pair, HalfTimes]]


def halftimes_figure(study: Study) -> Drawing | Absent:
    """The small multiples of half-times, with their caption; no panel where no feature has halved."""
    found = {
        condition: {pair: _of_features(study, condition, pair, runs) for pair, runs in by_pair.items()}
        for condition, by_pair in study.panels.items()
    }
    name, heading = "half_times", "Half-times"
    return halftimes_panels(study, found, Drawing(name, heading, _CAPTION, Figure()), r"feature rank  $i$", MARKS)


def halftimes_panels(
    study: Study, found: Panels, empty: Drawing, x: str, key: Sequence[Line2D], *, guided: bool = True
) -> Drawing | Absent:
    """The panels that have a half-time; `empty` has the figure's name, heading and caption."""
    shown = {condition: of for condition, of in found.items() if any(np.isfinite(h.times).any() for h in of.values())}
    if not shown:
        return Absent(empty.name, empty.heading, NONE_HALVED.format("any run"))
    points = min(MAX_POINTS, max(LEAST_POINTS, MOST_IN_ALL // sum(map(len, shown.values()))))
    alone = len(study.pairs) == 1
    with drawing_style():
        looks = pair_looks(study.pairs)
        unit = r"$\tau$" if study.scheduled else "steps"
        y = rf"half-time  $t_{{1/2}}(i)$  ({unit})"
        figure, panels = panel_grid(len(shown), x, y, height=2.7, beside=not alone)
        for axes, (condition, of) in zip(panels, shown.items(), strict=True):
            note = "".join("\n" + z_text(half, join=", ") for half in of.values()) if alone else ""
            axes.set_title(panel_title(condition, 42 if alone else 58) + note)
            log_axes(axes)
            for pair, half in of.items():
                label = f"{study.law_label(pair)}: " + z_text(half, join="\n")
                _draw(axes, half, looks[pair], label, points, pair[0] if guided else None)
            if not alone:
                legend_beside(axes)
        measured = np.concatenate([half.times for of in shown.values() for half in of.values()])
        panels[0].set_ylim(0.5 * np.nanmin(measured), 2 * np.nanmax(measured))
        label_short_range(panels[0])
        legend_below(figure, {} if alone else study.labelled(looks), key)
    absent = [condition for condition in found if condition not in shown]
    left_out = f" {NONE_HALVED.format(named(absent))}" if absent else ""
    return replace(empty, caption=empty.caption + study.selection + left_out, figure=figure)


def pooled_z(study: Study, condition: str, pair: Pair) -> tuple[float, tuple[float, float]]:
    """z over seeds with its interval, as in the table of exponents."""
    pooled = study.pooled
    a, b = (pooled[key] == value for key, value in zip(PAIR_KEYS, pair, strict=True))
    row = pooled[(pooled["condition"] == condition) & a & b].iloc[0]
    z, low, high = (float(row[f"half_time_exponent{end}"]) for end in ("", "_low", "_high"))
    return z, (low, high)


def fitted_ranks(runs: Sequence[Run]) -> tuple[int, int]:
    """First and last rank behind the z of any seed; (0, 0) where none has one."""
    results = [RunFolder(run.path).result() or {} for run in runs if np.isfinite(run.row["half_time_exponent"])]
    ends = np.array([result["half_time_features"] for result in results] or [(0, 0)])
    return int(ends[:, 0].min()), int(ends[:, 1].max())


def median_half_times(runs: list[Run], scheduled: bool) -> Float[np.ndarray, "n"]:
    """Median over seeds of t_½(i); a feature that most seeds have not halved is NaN."""
    each = []
    for run in runs:
        times, relative = relative_spectrum(run, scheduled)
        each.append(analysis.half_times(times, relative))
    # NaN stands for "later than the end", so it sorts last: infinity makes the median say so.
    middle = np.median(np.where(np.isfinite(each), each, np.inf), axis=0)
    return np.where(np.isfinite(middle), middle, np.nan)


def _of_features(study: Study, condition: str, pair: Pair, runs: list[Run]) -> HalfTimes:
    half = median_half_times(runs, study.scheduled)
    return HalfTimes(np.arange(1.0, half.size + 1), half, *pooled_z(study, condition, pair), fitted_ranks(runs))


def _draw(axes: Axes, half: HalfTimes, look: Look, label: str, points: int, guide: float | None) -> None:
    """Points, fit and, with slope `guide`, the course of learning one after another."""
    (colour, mark), ranks, times = look, half.ranks, half.times
    shown = np.unique(np.geomspace(1, times.size, points).round().astype(int)) - 1
    size = 2.6 if times.size > 25 else 4
    axes.plot(ranks[shown], times[shown], mark, ms=size, color=colour, mec="none", alpha=0.75)
    if guide is not None:
        axes.plot(ranks, guide_anchor(times, guide, ranks) * ranks**guide, color=colour, **GUIDE)
    first, last = half.fitted
    inside = np.isfinite(times) & (ranks >= first) & (ranks <= last)
    fit = np.isfinite(half.z) and inside.any()
    if fit:
        centre = np.median(np.log(times[inside]) - half.z * np.log(ranks[inside]))
        axes.plot(ranks[inside], np.exp(centre) * ranks[inside] ** half.z, color=colour, **FIT)
    axes.plot([], [], mark, ms=4, ls="-" if fit else "", color=colour, **FIT, label=label)


def z_text(half: HalfTimes, *, join: str) -> str:
    """z with its interval, and after `join` how many have no half-time."""
    missing = int(np.sum(~np.isfinite(half.times)))
    z = f"z = {with_interval(half.z, half.interval)}" if np.isfinite(half.z) else "no z"
    return z + (f"{join}{missing} of {half.times.size} absent" if missing else "")


NONE_HALVED = "Not drawn, since nothing has halved by the end of training: {}."
_CAPTION = (
    "Time at which the loss of feature i has halved, against its rank i. The slope on these axes is the half-time "
    "exponent z, whose mean over seeds stands beside the panel with its 95 % interval; its line covers the ranks that"
    " it was fitted to. Dashed: z = a, features learned one after another in the order of their frequency, drawn "
    "through the first ten half-times. A smaller z means that rare features are learned sooner than their frequency "
    "alone allows; z = 0 is learning all at once. Features that have not halved by the end of training have no point;"
    " where there are such features, their number is printed, and z describes the others only."
)
