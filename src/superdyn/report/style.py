"""The look of every figure: type, line widths, and a colour for each data law (a, b).

Hue says b and depth says a, so that the two exponents can be read apart; the four hues stay distinct under
the common forms of colour blindness. No meaning is carried by colour alone, so that a page printed in grey can be read:
every (a, b) has a mark of its own too, and line style says what a line is.
Figures are made through matplotlib's object interface, so nothing stays registered in a global state.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

INK = "#1d232b"
MUTED = "#6b7480"
GRID = "#e3e7ec"
RAMPS = (
    ("#86bdec", "#0d4377"),  # blues
    ("#f6b052", "#9c3503"),  # oranges
    ("#7fcdb2", "#075c49"),  # greens
    ("#c9ab8a", "#5b3a1a"),  # browns
)
"""Light to dark; the hues stay apart for readers who do not tell red from green."""
RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.4,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "path",
    "svg.hashsalt": "superdyn",
    "figure.dpi": 100,
    "savefig.dpi": 200,
}
WIDTHS = {1: 6.4, 2: 7.8}
"""Inches of a figure with so many columns; more columns share ten inches."""


MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", ">")
Pair = tuple[float, float]
Look = tuple[str, str]
"""Colour and mark."""


@dataclass(frozen=True)
class Absent:
    """What stands in the place of a figure that would be empty: its heading and a sentence that says why."""

    name: str
    heading: str
    reason: str


@dataclass(frozen=True)
class Drawing:
    """A finished figure with what a reader needs beside it: file stem, heading and caption."""

    name: str
    heading: str
    caption: str
    figure: Figure = field(repr=False)


@contextmanager
def drawing_style() -> Iterator[None]:
    """Apply the report's settings to the figures made inside, and only to those."""
    with matplotlib.rc_context(RC):
        yield


def pair_colours(pairs: Sequence[Pair]) -> dict[Pair, str]:
    """A hex colour for each (a, b): hue by b (four hues, then they repeat), light to dark with growing a."""
    exponents_b = sorted({b for _, b in pairs})
    colours: dict[Pair, str] = {}
    for index, b in enumerate(exponents_b):
        family = sorted({a for a, other in pairs if other == b})
        ramp = LinearSegmentedColormap.from_list(f"b{index}", RAMPS[index % len(RAMPS)])
        for rank, a in enumerate(family):
            depth = 0.45 if len(family) == 1 else rank / (len(family) - 1)
            colours[a, b] = to_hex(ramp(depth))
    return colours


def pair_looks(pairs: Sequence[Pair]) -> dict[Pair, Look]:
    """Colour and mark of each (a, b): nine marks in the order of `pairs`, then they repeat."""
    colours = pair_colours(pairs)
    return {pair: (colours[pair], MARKERS[index % len(MARKERS)]) for index, pair in enumerate(pairs)}


def with_interval(value: float, interval: tuple[float, float]) -> str:
    """`0.93 [0.69, 1.16]`, without brackets where there is no interval."""
    texts = [f"{number:.2f}".replace("-0.00", "0.00") for number in (value, *interval)]
    return f"{texts[0]} [{texts[1]}, {texts[2]}]" if math.isfinite(interval[0]) else texts[0]


def panel_grid(
    count: int, x: str, y: str, *, columns: int = 3, height: float = 2.5, beside: bool = False
) -> tuple[Figure, list[Axes]]:
    """A figure of `count` > 0 equal panels on common axes with labels `x` and `y` along the outside.

    `beside`: at most two columns, with room for a key on the right of each panel.
    """
    columns = min(2 if beside else columns, count)
    rows = -(-count // columns)
    width = {1: 7.0, 2: 10.0}[columns] if beside else WIDTHS.get(columns, 10.0)
    figure = Figure(figsize=(width, rows * height + 1.0), layout="constrained")
    panels = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for spare in panels[count:]:
        spare.remove()
    for index, axes in enumerate(panels[:count]):
        if index + columns >= count:
            axes.set_xlabel(x)
            axes.tick_params(labelbottom=True)
        if index % columns == 0:
            axes.set_ylabel(y)
    return figure, panels[:count]


def log_axes(axes: Axes) -> None:
    """Logarithmic scales on both axes with at most seven labelled powers; the others have a tick only."""
    log_axis(axes, "x")
    log_axis(axes, "y")


def log_axis(axes: Axes, which: Literal["x", "y"]) -> None:
    """A logarithmic scale with at most seven labelled powers."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(numticks=7))
    axis.set_minor_locator(LogLocator(subs=(1.0,), numticks=60))
    axis.set_minor_formatter(NullFormatter())


def label_short_range(axes: Axes) -> None:
    """Plain numbers on y where it spans so little that one power at most has its label: 1, 2 and 5 of every power, or
    all of them below a factor of 5, where a loss that starts near its floor would have one label."""
    low, high = axes.get_ylim()
    if high < 30 * low:
        subs = (1.0, 2.0, 5.0) if high > 5 * low else tuple(map(float, range(1, 10)))
        axes.yaxis.set_major_locator(LogLocator(subs=subs))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))


def legend_beside(axes: Axes) -> None:
    """The panel's own key on its right, where it hides nothing; none where no line has a label."""
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=7, handlelength=1.6, labelspacing=0.3,
                    borderpad=0.1)  # fmt: skip


def legend_below(figure: Figure, looks: Mapping[str, Look], marks: Sequence[Line2D]) -> None:
    """The key under the panels: colour and mark of each law of the data by name, then what each line or mark means."""
    laws = [Line2D([], [], color=colour, lw=1.8, marker=mark, ms=5, label=law) for law, (colour, mark) in looks.items()]
    most = int(figure.get_figwidth() // 1.7)
    # Matplotlib fills column by column: blank entries keep colours and marks in columns of their own.
    rows = next(n for n in range(2, 1000) if -(-len(laws) // n) + -(-len(marks) // n) <= most)
    handles = [*laws, *_blanks(-len(laws) % rows), *marks, *_blanks(-len(marks) % rows)]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=len(handles) // rows,
        handlelength=2.2,
        columnspacing=1.6,
    )


def _blanks(count: int) -> list[Line2D]:
    return [Line2D([], [], ls="", label=" ") for _ in range(count)]
