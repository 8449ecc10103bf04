"""Figure 4: the travelling wave, ℓ_i(t)/ℓ_i(0) over feature rank i and time.

A feature's row turns from light to dark when it is learned. The solid line joins the half-times t_½(i); the dashed guide
grows as i^a, its course when features are learned one after another. A steeper or flatter front than the guide, or rows
that change together, is another mechanism. Axis legend: `m` measurement, `n` feature.
"""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.lines import Line2D

from superdyn import analysis
from superdyn.report.curves import panel_title
from superdyn.report.study import Run, Study
from superdyn.report.style import Drawing, drawing_style, outer_labels, pair_label, panel_grid

MAX_MAPS = 12
MAX_ROWS = 160
"""Rows of a map; more features than this are averaged in bins of equal width in log rank."""
FRONT = "#d1462f"
GUIDE = "#ffffff"


def heatmap_figure(study: Study) -> Drawing:
    """Maps of up to `MAX_MAPS` runs: the first seed of each condition and (a, b), evenly chosen if there are more."""
    candidates = [
        (condition, min(runs, key=lambda run: run.row["seed"]))
        for condition, by_pair in study.groups.items()
        for runs in by_pair.values()
    ]
    picks = np.unique(np.linspace(0, len(candidates) - 1, min(MAX_MAPS, len(candidates))).round().astype(int))
    with drawing_style():
        figure, panels = panel_grid(len(picks), share=False, height=2.7)
        meshes = []
        for axes, pick in zip(panels, picks, strict=True):
            condition, run = candidates[pick]
            axes.set_title(f"{panel_title(condition)}\n{pair_label(run.pair)}, seed {run.row['seed']}")
            meshes.append(_draw_map(axes, run, study.scheduled))
        outer_labels(figure, study.time_label, r"feature rank  $i$")
        if meshes:
            bar = figure.colorbar(meshes[0], ax=panels, shrink=0.7, pad=0.01, extend="max", aspect=35)
            bar.set_label(r"$\ell_i(t)/\ell_i(0)$")
        figure.legend(handles=_KEY, loc="outside lower center", ncols=2)
    return Drawing("feature_heatmap", "The travelling wave", _caption(len(picks), len(candidates)), figure)


def relative_spectrum(run: Run, scheduled: bool) -> tuple[Float[np.ndarray, "m"], Float[np.ndarray, "m n"]]:
    """Times (m,), steps or τ, and ℓ_i(t)/ℓ_i(0); a feature without loss at the start is NaN throughout."""
    steps, loss = analysis.load_spectrum(run.path)
    times = np.interp(steps, run.curve["step"], run.curve["lr_time"]) if scheduled else steps.astype(float)
    start = np.where(loss[0] > 0, loss[0], np.nan)
    return times, loss / start


def binned(relative: Float[np.ndarray, "m n"]) -> tuple[Float[np.ndarray, "e"], Float[np.ndarray, "m b"]]:
    """Edges (e = b + 1) in feature rank and the mean of ℓ_i(t)/ℓ_i(0) in each of the b bins, at most `MAX_ROWS`."""
    n = relative.shape[1]
    ideal = np.geomspace(0.5, n + 0.5, min(n, MAX_ROWS) + 1)
    edges = np.unique(np.concatenate([[0.5], np.floor(ideal[1:]) + 0.5, [n + 0.5]]))
    edges = edges[edges <= n + 0.5]
    firsts = (edges[:-1] + 0.5).astype(int) - 1
    known = np.isfinite(relative)
    sums = np.add.reduceat(np.where(known, relative, 0.0), firsts, axis=1)
    counts = np.add.reduceat(known.astype(float), firsts, axis=1)
    return edges, np.where(counts > 0, sums / np.maximum(counts, 1.0), np.nan)


def guide_anchor(half_time: Float[np.ndarray, "n"], exponent: float) -> float:
    """The c of the guide c·i^exponent: the median of t_½(i)/i^exponent over the first ten features that halved."""
    ranks = np.arange(1, half_time.size + 1)
    found = np.isfinite(half_time) & (half_time > 0)
    return float(np.median((half_time[found] / ranks[found] ** exponent)[:10])) if found.any() else float("nan")


def _draw_map(axes: Axes, run: Run, scheduled: bool) -> QuadMesh:
    times, relative = relative_spectrum(run, scheduled)
    times, relative = times[times > 0], relative[times > 0]
    edges, rows = binned(relative)
    mesh = axes.pcolormesh(
        _time_edges(times), edges, rows.T, cmap="cividis_r", vmin=0, vmax=1, rasterized=True, shading="flat"
    )
    axes.set(xscale="log", yscale="log", facecolor="#b9bec5")
    axes.grid(False)
    half = analysis.half_times(times, relative)
    ranks = np.arange(1, half.size + 1)
    limits = axes.get_xlim(), axes.get_ylim()
    axes.plot(half, ranks, color=FRONT, lw=1.3)
    a = run.pair[0]
    axes.plot(guide_anchor(half, a) * ranks**a, ranks, color=GUIDE, lw=1.6, ls=(0, (4, 2)))
    axes.set(xlim=limits[0], ylim=limits[1])
    return mesh


def _time_edges(times: np.ndarray) -> np.ndarray:
    """Cell borders halfway between measurements in log t, with half a cell beyond the first and last."""
    log = np.log(times)
    middles = (log[1:] + log[:-1]) / 2
    return np.exp(np.concatenate([[2 * log[0] - middles[0]], middles, [2 * log[-1] - middles[-1]]]))


_KEY = (
    Line2D([], [], color=FRONT, lw=1.6, label=r"measured half-time $t_{1/2}(i)$"),
    Line2D([], [], color="#8a94a0", lw=1.6, ls=(0, (4, 2)), label=r"guide $\propto i^{\,a}$ (white in the maps)"),
)


def _caption(shown: int, total: int) -> str:
    which = "" if shown == total else f" {shown} of {total} combinations are shown, evenly chosen; all are in figure 5."
    return (
        "Loss of every feature relative to its start, for the first seed of each condition and (a, b): yellow is "
        "not yet improved... "
        "The red line marks the half-time of each feature and the dashed line the course i^a of features learned one "
        "after another, drawn through the first ten half-times. A front along the guide is the travelling wave of "
        "sequential learning; a front that rises more steeply means that rare features are learned earlier than "
        "their frequency alone allows. Grey: no value." + which
    )
