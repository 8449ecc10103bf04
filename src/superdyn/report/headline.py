"""One figure that sums up a sweep: curves without and with a bottleneck, and the exponents of both.

Left and middle, L(t)/L(0) of the reference student and of the student compared with it; right, their long-window
exponents over α_seq. Meant for a README or a talk.
"""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from superdyn.report.curves import THEORY_MARKS, draw_loss, panel_title
from superdyn.report.exponents import LEVELS
from superdyn.report.pooled import pooled_exponents
from superdyn.report.study import Study, load_study
from superdyn.report.style import INK, MUTED, Drawing, Pair, drawing_style, legend_below, log_axes, pair_colours
from superdyn.report.svg import write_figure
from matplotlib.figure import Figure

REFERENCE = "no_superposition"


def headline_figure(path: Path, out: Path) -> Path:
    """Write the figure as `out` with suffix .svg and .png; return the .svg.

    Raises:
        ValueError: the sweep has no finished run of `model=no_superposition`, or no other condition to compare with.
    """
    study = load_study(Path(path))
    reference, compared = _two_conditions(study)
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_figure(_draw(study, reference, compared, target.stem), target.parent)
    return target.with_suffix(".svg")


def _two_conditions(study: Study) -> tuple[str, str]:
    """The first condition of the reference model, and the bottleneck (least K/N) with the most finished runs."""
    models = {name: _first_row(by_pair)["model.name"] for name, by_pair in study.groups.items()}
    references = [name for name, model in models.items() if model == REFERENCE]
    others = [name for name, model in models.items() if model != REFERENCE]
    if not references or not others:
        raise ValueError(
            f"path={str(study.root)!r}: the headline figure compares model={REFERENCE} with another model; finished "
            f"runs are of {sorted(set(models.values()))}"
        )

    def rank(name: str) -> tuple[bool, int]:
        row = _first_row(study.groups[name])
        return row["model.width"] < row["data.n_features"], sum(map(len, study.groups[name].values()))

    return references[0], max(others, key=rank)


def _first_row(by_pair: dict[Pair, list]):
    return next(iter(by_pair.values()))[0].row


def _draw(study: Study, reference: str, compared: str, name: str) -> Drawing:
    with drawing_style():
        colours = pair_colours(study.pairs)
        figure = Figure(figsize=(10.5, 4.2), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        middle.sharex(left)
        middle.sharey(left)
        for axes, condition in ((left, reference), (middle, compared)):
            axes.set_title(panel_title(condition))
            log_axes(axes)
            for pair, runs in study.groups[condition].items():
                draw_loss(axes, runs, colours[pair], study.scheduled)
            axes.set_xlabel(study.time_label)
        lowest = min(run.relative_loss().min() for c in (reference, compared) for r in study.groups[c].values() for run in r)
        left.set_ylim(max(1e-12, 0.4 * lowest), 1.6)
        left.set_ylabel(r"relative loss  $L(t)/L(0)$")
        _draw_exponents(right, study, reference, compared, colours)
        marks = (
            *THEORY_MARKS,
            Line2D([], [], color=INK, ls="", marker="o", mfc="white", ms=5.5, label=f"exponent, {reference}"),
            Line2D([], [], color=INK, ls="", marker="o", ms=5.5, label=f"exponent, {compared}"),
            *LEVELS,
        )
        legend_below(figure, colours, marks)
    return Drawing(name, "Headline", "", figure)


def _draw_exponents(axes: Axes, study: Study, reference: str, compared: str, colours: dict[Pair, str]) -> None:
    pooled = pooled_exponents(study)
    axes.set_title("long-window exponents")
    axes.axline((0, 0), slope=1, color=MUTED, lw=1.0, ls=(0, (4, 2)))
    axes.axhline(1, color=MUTED, lw=1.0)
    for condition, filled in ((reference, False), (compared, True)):
        for _, row in pooled[pooled["condition"] == condition].iterrows():
            colour = colours[row["data.data_exponent"], row["data.importance_exponent"]]
            x = row["alpha_sequential"]
            axes.plot([x, x], [row["alpha_long_low"], row["alpha_long_high"]], color=colour, lw=1.3)
            axes.plot([x], [row["alpha_long"]], "o", ms=6.5, color=colour, mfc=colour if filled else "white", zorder=3)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(r"sequential exponent  $\alpha_{\rm seq}$")
    axes.set_ylabel(r"measured exponent  $\alpha$")
