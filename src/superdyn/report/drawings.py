"""Which figures a study gets: those of features, of tokens, of evaluated models, and of width where it was varied."""

from collections.abc import Sequence
from dataclasses import replace

from superdyn.report.curves import curves_figure
from superdyn.report.evaluated import superposition as evaluated_superposition
from superdyn.report.evaluated.bins import bins_figure
from superdyn.report.evaluated.halftimes import token_halftimes_figure
from superdyn.report.evaluated.loss import loss_figure
from superdyn.report.exponent_list import forest_figure
from superdyn.report.exponents import exponents_figure
from superdyn.report.halftimes import halftimes_figure
from superdyn.report.heatmap import heatmap_figure
from superdyn.report.own_measures import own_measure_figures
from superdyn.report.slopes import slopes_figure
from superdyn.report.study import Study
from superdyn.report.style import Absent, Drawing
from superdyn.report.superposition import superposition_figure
from superdyn.report.superposition_sweep import swept_superposition_figures
from superdyn.report.token_bins import token_bins_figure
from superdyn.report.token_halftimes import training_halftimes_figure
from superdyn.report.width_lines import WidthLine
from superdyn.report.width_map import width_map_figure
from superdyn.report.widths import widths_figure

FIGURES = (slopes_figure, exponents_figure, forest_figure, heatmap_figure, halftimes_figure)
TOKEN_FIGURES = (slopes_figure, forest_figure, token_bins_figure, training_halftimes_figure)
"""There is no theory of their exponents, and waves are drawn over features, of which bins are groups."""
EVALUATION_FIGURES = (
    loss_figure, bins_figure, token_halftimes_figure, evaluated_superposition.superposition_figure,
)  # fmt: skip


def drawings_of(study: Study, parts: Sequence[tuple[Study, list[WidthLine]]]) -> list[Drawing | Absent]:
    """All figures in their order on the page; `parts` are the study's kinds of trainings with their lines of width."""
    drawings = [drawing for part, lines in parts for drawing in _of_trainings(part, lines, alone=len(parts) == 1)]
    return [*drawings, *(draw(study) for draw in EVALUATION_FIGURES if study.evaluations)]


def _of_trainings(part: Study, lines: list[WidthLine], alone: bool) -> list[Drawing | Absent]:
    """Of runs of one kind; beside runs on features, name and heading of a figure of tokens say what it shows."""
    of_width = (widths_figure(part, lines), width_map_figure(lines)) if lines else ()
    others = (draw(part) for draw in (TOKEN_FIGURES if part.reads_tokens else FIGURES))
    drawings = [curves_figure(part), *(drawing for drawing in of_width if drawing is not None), *others]
    over_time = superposition_figure(part)
    drawings += [] if over_time is None else [over_time, *swept_superposition_figures(part)]
    drawings += own_measure_figures(part)
    return [_named_for_tokens(drawing) for drawing in drawings] if part.reads_tokens and not alone else drawings


def _named_for_tokens(drawing: Drawing | Absent) -> Drawing | Absent:
    if drawing.name.startswith("token"):
        return drawing
    return replace(drawing, name=f"token_{drawing.name}", heading=f"{drawing.heading} of language models")
