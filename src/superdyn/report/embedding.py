"""One figure of an embedding: WᵀW of a small one, and the length and dimensionality of every feature's row.

Feature dimensionality D_i = ‖W_i‖²/Σ_j(Ŵ_i·W_j)² and the stacked bars over features are those of Elhage et al. 2022:
1 a dimension of its own, ½ an antipodal pair, 2/5 a pentagon. For one student of a finished run, from a notebook.
Axis legend: `n` feature, `k` hidden.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from superdyn.report.style import INK, MUTED, RAMPS, Drawing, drawing_style
from superdyn.report.svg import write_figure

MAX_FEATURES = 64
"""Features up to which the overlaps WᵀW are drawn; of more no cell would be seen."""
FRACTIONS = {1.0: "own dimension", 0.5: "antipodal pair", 0.4: "pentagon"}


def embedding_figure(embedding: Float[np.ndarray, "k n"], out: Path | str) -> Path:
    """Write the figure of W (K, N), `load_student(run).student.embedding()[0]`, as `out` with suffix .svg and .png.

    Returns:
        The path of the .svg.

    Raises:
        ValueError: the array is not a finite matrix.
    """
    w = np.asarray(embedding, dtype=np.float64)
    if w.ndim != 2 or not np.isfinite(w).all():
        raise ValueError(f"embedding: shape {w.shape} must be a finite matrix (K, N), such as student.embedding()[0]")
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_figure(Drawing(target.stem, "Embedding", "", _draw(w)), target.parent)
    return target.with_suffix(".svg")


def feature_geometry(
    embedding: Float[np.ndarray, "k n"],
) -> tuple[Float[np.ndarray, "n"], Float[np.ndarray, "n"]]:
    """‖W_i‖ and D_i of every feature, as `models.measures` has them; D_i of a zero row is 0."""
    norms = np.linalg.norm(embedding, axis=0)
    unit = embedding / np.where(norms == 0, 1.0, norms)
    overlap = np.einsum("kn,kn->n", unit, (embedding @ embedding.T) @ unit)
    return norms, norms**2 / np.where(norms == 0, 1.0, overlap)


def _draw(w: Float[np.ndarray, "k n"]) -> Figure:
    norms, dimensionality = feature_geometry(w)
    small = w.shape[1] <= MAX_FEATURES
    with drawing_style():
        figure = Figure(figsize=(10.0, 3.9) if small else (7.8, 3.6), layout="constrained")
        panels = list(figure.subplots(1, 3 if small else 2, width_ratios=[1.15, 1, 1] if small else [1, 1]))
        if small:
            _draw_overlaps(figure, panels.pop(0), w)
        ranks = np.arange(1, w.shape[1] + 1)
        for axes, values, label in zip(panels, (norms, dimensionality), (r"$\|W_i\|$", r"dimensionality $D_i$"),
                                       strict=True):  # fmt: skip
            axes.plot(ranks, values, ls="", marker="o", ms=3.5 if small else 2, color=RAMPS[0][1])
            axes.set(xlabel=r"feature  $i$", ylabel=label, ylim=(0, 1.08 * max(1.0, float(values.max()))))
        for level, name in FRACTIONS.items():
            panels[1].axhline(level, color=INK, lw=0.8, ls=(0, (4, 2.5)), zorder=1.8)
            panels[1].annotate(name, (1.0, level), (-2, 2), xycoords=("axes fraction", "data"), ha="right", fontsize=7,
                               color=MUTED, textcoords="offset points")  # fmt: skip
        figure.suptitle(f"N = {w.shape[1]}, K = {w.shape[0]}", x=0.01, ha="left", fontsize=9, fontweight="bold")
    return figure


def _draw_overlaps(figure: Figure, axes: Axes, w: Float[np.ndarray, "k n"]) -> None:
    gram = w.T @ w
    largest = max(float(np.abs(gram).max()), 1e-12)
    edges = np.arange(w.shape[1] + 1) + 0.5
    mesh = axes.pcolormesh(edges, edges, gram, cmap="RdBu_r", vmin=-largest, vmax=largest, rasterized=True)
    axes.set(aspect="equal", xlabel=r"feature  $j$", ylabel=r"feature  $i$")
    axes.invert_yaxis()
    axes.grid(False)
    bar = figure.colorbar(mesh, ax=axes, shrink=0.8, pad=0.02)
    bar.set_label(r"$(W^\top W)_{ij}$")
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
