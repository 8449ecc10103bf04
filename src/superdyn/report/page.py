"""The report of a sweep or a run: `report.html`, one file that opens offline, and its figures as SVG and PNG.

Everything on the page comes from the run folders' files through `analysis`; style, script and figures are
inside the page, and every text from outside (names, notes, errors) is escaped.
"""

import re
import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from superdyn.report.drawings import drawings_of
from superdyn.report.evaluated.table import evaluations_table
from superdyn.report.provenance import provenance
from superdyn.report.study import Study, load_study
from superdyn.report.style import Absent, Drawing
from superdyn.report.svg import write_figure, write_whole
from superdyn.report.tables import claims_table, exponents_table, runs_table, unfinished_table
from superdyn.report.width_lines import WidthLine, width_lines
from superdyn.report.width_table import width_table
from superdyn.runs.sweep_status import ROW_STATES

PIXELS_PER_INCH = 108
"""Scale of the figures on the page: 8-point type in a figure is then 12 pixels on the screen."""


@dataclass(frozen=True)
class PageFigure:
    """A figure as the template takes it: SVG text, heading, caption, natural width in pixels and number on the page.

    One that would be empty has no SVG and no number, and the caption says why.
    """

    name: str
    heading: str
    caption: str
    svg: Markup = field(default_factory=Markup)
    width: int = 0
    number: int = 0


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
    parts = [(part, width_lines(part)) for part in study.kinds()]
    drawings = drawings_of(study, parts)
    target = root / "report.html"
    figures = _write_figures(drawings, root / "figures")
    write_whole(target, _render(study, figures, [line for _, lines in parts for line in lines]).encode())
    return target


def _write_figures(drawings: Sequence[Drawing | Absent], folder: Path) -> list[PageFigure]:
    if drawings:
        folder.mkdir(exist_ok=True)
    numbers, figures = count(1), []
    for drawing in drawings:
        if isinstance(drawing, Absent):
            for suffix in ("svg", "png"):  # that an earlier report may have left
                (folder / f"{drawing.name}.{suffix}").unlink(missing_ok=True)
            figures.append(PageFigure(drawing.name, drawing.heading, drawing.reason))
        else:
            figures.append(_page_figure(drawing, folder, next(numbers)))
    return figures


def _page_figure(drawing: Drawing, folder: Path, number: int) -> PageFigure:
    svg = Markup(write_figure(drawing, folder))  # our own drawing; matplotlib escapes the texts in it
    width = round(drawing.figure.get_figwidth() * PIXELS_PER_INCH)
    return PageFigure(drawing.name, drawing.heading, drawing.caption, svg, width, number)


def _render(study: Study, figures: list[PageFigure], lines: list[WidthLine]) -> str:
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
        of_features=any(not run.reads_tokens for run in study.runs),
        of_tokens=study.reads_tokens,
        exponents=exponents_table(study) if study.runs else None,
        evaluations=evaluations_table(study) if study.evaluations else None,
        widths=width_table(lines) if lines else None,
        runs=runs_table(study),
        provenance=provenance(study),
    )


def symbols(text: str) -> Markup:
    """Escaped text with indices set below the line and powers above it: α_seq, ℓ_i, i^a."""
    lowered = re.sub(r"(?<=[αℓtLA])_(seq|rich|inf|least|ii|i|b|½|0)", r"<sub>\1</sub>", str(escape(text)))
    return Markup(re.sub(r"(?<=\b[iK]|\))\^([az]|−[αβ])", r"<sup>\1</sup>", lowered))


def _counts(study: Study) -> list[tuple[int, str]]:
    states = Counter(study.frame["state"])
    total = (len(study.frame), "run" if len(study.frame) == 1 else "runs")
    return [total, *((states[state], state) for state in ROW_STATES if states[state])]


def _varied(study: Study) -> str:
    """What differs between the runs, in one line."""
    parts = [f"{len(study.groups)} conditions ({', '.join(study.keys)})"] if study.keys else []
    if len(study.pairs) > 1:
        of_features = any(not run.reads_tokens for run in study.runs)
        parts.append(f"{len(study.pairs)} data laws" + (" (a, b)" if of_features else " (a)"))
    seeds = len(set(study.frame["seed"].dropna().tolist()))
    if seeds > 1:
        parts.append(f"{seeds} seeds")
    return "Varied: " + "; ".join(parts) + "." if parts else ""
