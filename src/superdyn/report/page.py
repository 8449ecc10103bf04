"""The report of a sweep or a run: `report.html`, one file that opens offline, and its figures as SVG and PNG.

Everything on the page comes from the run folders' files through `analysis`; style, script and figures are
inside the page, and every text from outside (names, notes, errors) is escaped.
"""

import re
import shlex
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from superdyn.report.curves import curves_figure
from superdyn.report.evaluated.bins import bins_figure
from superdyn.report.evaluated.halftimes import token_halftimes_figure
from superdyn.report.evaluated.loss import loss_figure
from superdyn.report.evaluated.superposition import superposition_figure
from superdyn.report.evaluated.table import evaluations_table
from superdyn.report.exponents import exponents_figure, forest_figure
from superdyn.report.halftimes import halftimes_figure
from superdyn.report.heatmap import heatmap_figure
from superdyn.report.provenance import provenance
from superdyn.report.slopes import slopes_figure
from superdyn.report.study import Study, load_study
from superdyn.report.style import Drawing
from superdyn.report.svg import write_figure
from superdyn.report.tables import claims_table, exponents_table, runs_table, unfinished_table
from superdyn.report.token_bins import token_bins_figure
from superdyn.runs.sweep_status import ROW_STATES

FIGURES = (curves_figure, slopes_figure, exponents_figure, forest_figure, heatmap_figure, halftimes_figure)
TOKEN_FIGURES = (curves_figure, slopes_figure, forest_figure, token_bins_figure)
"""There is no theory of their exponents, and waves and half-times are drawn over features, of which bins are groups."""
EVALUATION_FIGURES = (loss_figure, bins_figure, token_halftimes_figure, superposition_figure)
PIXELS_PER_INCH = 108
"""Scale of the figures on the page: 8-point type in a figure is then 12 pixels on the screen."""


@dataclass(frozen=True)
class PageFigure:
    """A figure as the template takes it: SVG text, heading, caption and its natural width in pixels."""

    name: str
    heading: str
    caption: str
    svg: Markup
    width: int


def write_report(path: Path) -> Path:
    """Write `path/report.html` and `path/figures/NAME.{svg,png}` for a sweep folder or a run folder.

    Returns:
        The path of `report.html`. A folder without a finished run gives a page that says so and lists its
        runs.

    Raises:
        ValueError: `path` is not a folder, or holds no run.
    """
    root = Path(path)
    study = load_study(root)
    figures = _write_figures(study, root / "figures") if study.runs or study.evaluations else []
    target = root / "report.html"
    target.write_text(_render(study, figures), encoding="utf-8")
    return target


def _write_figures(study: Study, folder: Path) -> list[PageFigure]:
    folder.mkdir(exist_ok=True)
    parts = study.kinds()
    drawings = [drawing for part in parts for drawing in _training_drawings(part, alone=len(parts) == 1)]
    drawings += [draw(study) for draw in EVALUATION_FIGURES if study.evaluations]
    return [_page_figure(drawing, folder) for drawing in drawings]


def _training_drawings(part: Study, alone: bool) -> list[Drawing]:
    """Of runs of one kind; beside runs on features, name and heading of a figure of tokens say what it shows."""
    if not part.reads_tokens:
        return [draw(part) for draw in FIGURES]
    drawings = [draw(part) for draw in TOKEN_FIGURES]
    return drawings if alone else [_named_for_tokens(drawing) for drawing in drawings]


def _named_for_tokens(drawing: Drawing) -> Drawing:
    if drawing.name.startswith("token"):
        return drawing
    return replace(drawing, name=f"token_{drawing.name}", heading=f"{drawing.heading} of language models")


def _page_figure(drawing: Drawing, folder: Path) -> PageFigure:
    svg = Markup(write_figure(drawing, folder))  # our own drawing; matplotlib escapes the texts in it
    width = round(drawing.figure.get_figwidth() * PIXELS_PER_INCH)
    return PageFigure(drawing.name, drawing.heading, drawing.caption, svg, width)


def _render(study: Study, figures: list[PageFigure]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("superdyn.report"), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["symbols"] = symbols
    environment.trim_blocks = environment.lstrip_blocks = True
    return environment.get_template("page.html.j2").render(
        title=study.root.resolve().name,
        folder=shlex.quote(str(study.root)),
        counts=_counts(study),
        varied=_varied(study),
        notes=study.notes[0] if len(study.notes) == 1 else "",
        n_runs=len(study.frame),
        figures=figures,
        claims=claims_table(study.root),
        unfinished=unfinished_table(study),
        exponents=exponents_table(study) if study.runs else None,
        evaluations=evaluations_table(study) if study.evaluations else None,
        runs=runs_table(study),
        provenance=provenance(study),
    )


def symbols(text: str) -> Markup:
    """Escaped text with indices set below the line and powers above it: α_seq, ℓ_i, i^a."""
    lowered = re.sub(r"(?<=[αℓtLA])_(seq|rich|inf|ii|i|½)", r"<sub>\1</sub>", str(escape(text)))
    return Markup(re.sub(r"(?<=\bi)\^([az])", r"<sup>\1</sup>", lowered))


def _counts(study: Study) -> list[tuple[int, str]]:
    states = Counter(study.frame["state"])
    total = (len(study.frame), "run" if len(study.frame) == 1 else "runs")
    return [total, *((states[state], state) for state in ROW_STATES if states[state])]


def _varied(study: Study) -> str:
    """What differs between the runs, in one line."""
    parts = [f"{len(study.groups)} conditions ({', '.join(study.keys)})"] if study.keys else []
    if len(study.pairs) > 1:
        parts.append(f"{len(study.pairs)} data laws (a, b)")
    seeds = len(set(study.frame["seed"].dropna().tolist()))
    if seeds > 1:
        parts.append(f"{seeds} seeds")
    return "Varied: " + "; ".join(parts) + "." if parts else ""
