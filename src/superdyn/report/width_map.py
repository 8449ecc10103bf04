"""Map of the width exponent β: a row each condition (such as a weight decay), a column each (a, b).

Colours run from 0 to 2 about 1, the exponent expected in superposition; the number stands in every cell, so that the
map reads in grey too. Hatched cells are no power law in the width.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import rgb_to_hsv, to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from superdyn.analysis.claims.token_width import RANK
from superdyn.report.data_law import DataLaw, law_columns
from superdyn.report.study import spread
from superdyn.report.style import INK, MUTED, Drawing, Pair, drawing_style
from superdyn.report.width_lines import WidthLine

MAX_ROWS, MAX_COLUMNS = 40, 20
COLOURS, LOW, HIGH = "PuOr_r", 0.0, 2.0
HATCH = "////"


def width_map_figure(lines: Sequence[WidthLine]) -> Drawing | None:
    """The map, or None where it would have a single row or column."""
    found = {(_row(line), line.pair): line for line in lines}
    rows = spread(list(dict.fromkeys(row for row, _ in found)), MAX_ROWS)
    columns = spread(sorted({pair for _, pair in found}, key=lambda pair: pair[::-1]), MAX_COLUMNS)
    if len(rows) < 2 or len(columns) < 2:
        return None
    values = np.array([[_beta(found.get((row, pair))) for pair in columns] for row in rows])
    with drawing_style():
        figure = Figure(figsize=(min(10.0, 3.4 + 0.62 * len(columns)), 0.3 * len(rows) + 2.1), layout="constrained")
        axes = figure.subplots()
        mesh = axes.pcolormesh(values, cmap=COLOURS, vmin=LOW, vmax=HIGH, edgecolors="white", lw=1.0)
        for (i, row), (j, pair) in ((r, c) for r in enumerate(rows) for c in enumerate(columns)):
            _draw_cell(axes, (j, i), found.get((row, pair)))
        _label(axes, rows, columns, [line.law for line in lines])
        bar = figure.colorbar(mesh, ax=axes, extend="both", pad=0.02, aspect=25)
        bar.set_label(r"width exponent  $\beta$")
        bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
        key = Patch(facecolor="white", edgecolor=MUTED, hatch=HATCH, label="no power law in the width")
        figure.legend(handles=[key], loc="outside lower center")
    left_out = len({row for row, _ in found}) - len(rows) + len({pair for _, pair in found}) - len(columns)
    return Drawing("width_exponents", "Width exponents", _CAPTION + (_PART if left_out else ""), figure)


def _row(line: WidthLine) -> str:
    return f"rank, {line.condition}" if line.dimension == RANK else line.condition


def _beta(line: WidthLine | None) -> float:
    return float("nan") if line is None else line.beta


def _draw_cell(axes: Axes, corner: tuple[int, int], line: WidthLine | None) -> None:
    known = line is not None and np.isfinite(line.beta)
    share = (line.beta - LOW) / (HIGH - LOW) if line is not None and known else 0.5
    colour = to_hex(colormaps[COLOURS](min(max(share, 0.0), 1.0)))
    dark = known and rgb_to_hsv(to_rgb(colour))[2] < 0.75
    shade = "white" if dark else INK
    if line is not None and (not line.straight or line.trained_out is False):
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, hatch=HATCH, ec=MUTED, lw=0, alpha=0.6))
    words = f"{line.beta:.2f}" if line is not None and known else "–"
    box = {"facecolor": colour, "edgecolor": "none", "pad": 1.0} if known else None
    axes.text(corner[0] + 0.5, corner[1] + 0.5, words, ha="center", va="center", color=shade, fontsize=8, bbox=box)


def _label(axes: Axes, rows: Sequence[str], columns: Sequence[Pair], laws: Sequence[DataLaw]) -> None:
    one_b = len({b for _, b in columns}) == 1
    b = f"  ($b = {columns[0][1]:g}$)" if "b" in law_columns(laws) else ""
    axes.grid(False)
    axes.set_xticks(_middles(columns), [f"{a:g}" if one_b else f"{a:g}, {b:g}" for a, b in columns])
    axes.set_xlabel(f"skew of the frequencies  $a${b}" if one_b else r"data law  $a,\ b$")
    axes.set_yticks(_middles(rows), [row.replace("$", r"\$") for row in rows])
    axes.tick_params(length=0)
    axes.invert_yaxis()
    for spine in axes.spines.values():
        spine.set_visible(False)


def _middles(items: Sequence[object]) -> Float[np.ndarray, "n"]:
    return np.arange(len(items)) + 0.5


_CAPTION = (
    "The exponents of the figure before, one row for each condition and one column for each (a, b): white is β = 1, "
    "the expectation in superposition whatever a is; a row of one colour means that β does not depend on the data. "
    "Hatched: the local exponents between neighbouring widths differ by more than 0.5, or too few widths have "
    "converged, so that β is the mean steepness of a curve and not an exponent. A dash: not measured."
)
_PART = " Rows and columns are evenly chosen; the table lists all."
