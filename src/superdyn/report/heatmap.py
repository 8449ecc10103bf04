"""Figure 5: the travelling wave, ℓ_i(t)/ℓ_i(0) over feature rank i and time.

A feature's row fades from dark to white when it is learned. The solid line joins the half-times t_½(i); the
dashed guide grows as i^a, its course when features are learned one after another. Axis legend: `m`
measurement, `n` feature.
"""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.lines import Line2D

from superdyn import analysis
from superdyn.report.curves import panel_title
from superdyn.report.study import Run, Study, spread
from superdyn.report.style import INK, Drawing, drawing_style, log_axes, panel_grid

MAX_MAPS = 12
MAX_ROWS = 160
"""Rows of a map; more features than this are averaged in bins of equal width in log rank."""
FRONT = {"color": "#d9541e", "lw": 1.6}
GUIDE = {"color": INK, "lw": 1.3, "ls": (0, (4, 2))}


def heatmap_figure(study: Study) -> Drawing:
    """Maps of up to `MAX_MAPS` runs: the first seed of evenly chosen conditions and (a, b)."""
    chosen = representatives(study)
    per_condition = max(len([c for c, _ in chosen if c == condition]) for condition, _ in chosen)
    columns = per_condition if 1 < per_condition <= 4 else 3
    with drawing_style():
        figure, panels = panel_grid(len(chosen), study.time_label, r"feature rank  $i$", columns=columns, height=2.45)
        meshes = []
        for axes, (condition, run) in zip(panels, chosen, strict=True):
            axes.set_title(f"{panel_title(condition, 42 * 3 // (columns + 1))}\n{study.label(run.pair)}", fontsize=8)
            meshes.append(_draw_map(axes, run, study.scheduled))
        bar = figure.colorbar(meshes[0], ax=panels, shrink=min(1.0, 6 / figure.get_figheight()), pad=0.01, aspect=30)
        bar.set_label(r"$\ell_i(t)/\ell_i(0)$")
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        figure.legend(handles=_KEY, loc="outside lower center", ncols=2)
    return Drawing("feature_heatmap", "The travelling wave", _caption(study, len(chosen)), figure)


def representatives(study: Study) -> list[tuple[str, Run]]:
    """(condition, run): the first seed of evenly spaced conditions and, in each, of evenly spaced (a, b)."""
    conditions = spread(list(study.groups), MAX_MAPS)
    each = max(1, MAX_MAPS // len(conditions))
    return [
        (condition, min(study.groups[condition][pair], key=lambda run: run.row["seed"]))
        for condition in conditions
        for pair in spread(list(study.groups[condition]), each)
    ]


def relative_spectrum(run: Run, scheduled: bool) -> tuple[Float[np.ndarray, "m"], Float[np.ndarray, "m n"]]:
    """Times (m,), steps or τ, and ℓ_i(t)/ℓ_i(0); a feature without loss at the start is NaN throughout."""
    steps, loss = analysis.load_spectrum(run.path)
    times = np.interp(steps, run.curve["step"], run.curve["lr_time"]) if scheduled else steps.astype(float)
    start = np.where(loss[0] > 0, loss[0], np.nan)
    return times, (loss / start).astype(float)


def rank_bins(n: int) -> Float[np.ndarray, "e"]:
    """Half-integer edges of at most `MAX_ROWS` bins of the ranks 1…n: single ranks, or equal in log rank."""
    if n <= MAX_ROWS:
        return np.arange(n + 1) + 0.5
    return np.unique(np.floor(np.geomspace(1, n + 1, MAX_ROWS + 1) + 1e-9)) - 0.5


def binned(relative: Float[np.ndarray, "m n"], edges: Float[np.ndarray, "e"]) -> Float[np.ndarray, "m b"]:
    """Mean of ℓ_i(t)/ℓ_i(0) over the features of each bin, without those that are NaN."""
    firsts = (edges[:-1] - 0.5).astype(int)
    known = np.isfinite(relative)
    sums = np.add.reduceat(np.where(known, relative, 0.0), firsts, axis=1)
    counts = np.add.reduceat(known.astype(float), firsts, axis=1)
    return np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)


def guide_anchor(half_time: Float[np.ndarray, "n"], exponent: float, ranks: Float[np.ndarray, "n"]) -> float:
    """The c of the guide c·i^exponent: median of t_½(i)/i^exponent over the first ten that halved."""
    found = np.isfinite(half_time) & (half_time > 0)
    return float(np.median((half_time[found] / ranks[found] ** exponent)[:10])) if found.any() else float("nan")


def _draw_map(axes: Axes, run: Run, scheduled: bool) -> QuadMesh:
    times, relative = relative_spectrum(run, scheduled)
    half = analysis.half_times(times, relative)
    edges = rank_bins(half.size)
    later = times > 0
    rows = binned(relative[later], edges)
    mesh = axes.pcolormesh(
        _time_edges(times[later]),
        edges,
        rows.T,
        cmap="Blues",
        vmin=0,
        vmax=1,
        rasterized=True,
        shading="flat",
    )
    log_axes(axes)
    axes.set_facecolor("#c9ccd1")
    axes.grid(False)
    limits = axes.get_xlim(), axes.get_ylim()
    axes.plot(_bin_medians(half, edges), np.sqrt(edges[1:] * edges[:-1]), **FRONT)
    ranks, a = np.arange(1.0, half.size + 1), run.pair[0]
    axes.plot(guide_anchor(half, a, ranks) * ranks**a, ranks, **GUIDE)
    axes.set(xlim=limits[0], ylim=limits[1])
    return mesh


def _bin_medians(half_time: Float[np.ndarray, "n"], edges: Float[np.ndarray, "e"]) -> Float[np.ndarray, "b"]:
    """Median half-time of each bin; NaN, a gap in the line, where most features have not halved."""
    late = np.where(np.isfinite(half_time), half_time, np.inf)
    middles = np.array([np.median(part) for part in np.split(late, (edges[1:-1] - 0.5).astype(int))])
    return np.where(np.isfinite(middles), middles, np.nan)


def _time_edges(times: Float[np.ndarray, "m"]) -> Float[np.ndarray, "e"]:
    """Cell borders halfway between measurements in log t, with half a cell beyond the first and last."""
    log = np.log(times)
    middles = (log[1:] + log[:-1]) / 2
    if not middles.size:
        return times[0] * np.array([0.5, 2.0])
    return np.exp(np.concatenate([[2 * log[0] - middles[0]], middles, [2 * log[-1] - middles[-1]]]))


_KEY = (
    Line2D([], [], **FRONT, label=r"measured half-time $t_{1/2}(i)$"),
    Line2D([], [], **GUIDE, label=r"guide $\propto i^{\,a}$: features learned one after another"),
)


def _caption(study: Study, shown: int) -> str:
    total = sum(map(len, study.groups.values()))
    which = "" if shown == total else f" {shown} of {total} combinations, evenly chosen, are shown."
    return (
        "Loss of every feature relative to its start, ℓ_i(t)/ℓ_i(0), for the first seed of each condition "
        "and (a, b): dark is not learned yet, white is learned. The orange line marks the half-time of each "
        "feature, the dashed line the course i^a of features learned one after another, drawn through the "
        "first ten half-times. A front along the guide is the travelling wave of sequential learning; a "
        "front that rises more steeply means that rare features are learned earlier than their frequency "
        "alone allows. Grey: no value." + which
    )
