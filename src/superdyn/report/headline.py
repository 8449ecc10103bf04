"""One figure that sums up a sweep: curves without and with a bottleneck, and the exponents of both.

Left and middle, L(t)/L(0) of the reference student and of the student compared with it; right, their
long-window exponents over α_seq. Meant for a README or a talk.
"""

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from superdyn.report.all_runs import records
from superdyn.report.curves import LOSS_LABEL, THEORY_MARKS, draw_loss, loss_limits
from superdyn.report.exponents import LEVELS
from superdyn.report.study import Run, Study, load_study
from superdyn.report.style import (
    INK,
    MUTED,
    Drawing,
    Pair,
    drawing_style,
    legend_below,
    log_axes,
    pair_looks,
)
from superdyn.report.svg import write_figure

REFERENCE = "no_superposition"
ASIDE = 0.015
"""Exponents stand so far beside their α_seq, the reference's on the left, so that equal ones do not hide each other."""


def headline_figure(path: Path, out: Path) -> Path:
    """Write the figure as `out` with suffix .svg and .png; return the .svg.

    Raises:
        ValueError: the sweep has no finished run of `model=no_superposition`, or no other condition to
        compare with.
    """
    study = load_study(Path(path))
    reference, compared = _two_conditions(study)
    target = Path(out)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_figure(_draw(study, reference, compared, target.stem), target.parent)
    return target.with_suffix(".svg")


def _two_conditions(study: Study) -> tuple[str, str]:
    """The reference model with most features, and what stands beside it: of as many, a bottleneck, trained, with most
    runs."""
    models = {name: _first_row(by_pair)["model.name"] for name, by_pair in study.groups.items()}
    features = {name: int(_first_row(by_pair)["data.n_features"]) for name, by_pair in study.groups.items()}
    references = sorted(
        (name for name, model in models.items() if model == REFERENCE), key=lambda name: -features[name]
    )
    others = [name for name, model in models.items() if model != REFERENCE]
    if not references or not others:
        raise ValueError(
            f"path={str(study.root)!r}: the headline figure compares model={REFERENCE} with another "
            f"model; finished runs are of {sorted(set(models.values()))}"
        )

    def rank(name: str) -> tuple[bool, bool, bool, int]:
        row = _first_row(study.groups[name])
        alike, narrow = features[name] == features[references[0]], row["model.width"] < row["data.n_features"]
        return alike, narrow, row["model.train_encoder"], sum(map(len, study.groups[name].values()))

    return references[0], max(others, key=rank)


def _first_row(by_pair: dict[Pair, list[Run]]) -> dict[str, Any]:
    return next(iter(by_pair.values()))[0].row


def _sizes(by_pair: dict[Pair, list[Run]]) -> str:
    row = _first_row(by_pair)
    width, n = int(row["model.width"]), int(row["data.n_features"])
    return f"K = N = {n}" if width == n else f"K = {width}, N = {n}"


def _draw(study: Study, reference: str, compared: str, name: str) -> Drawing:
    with drawing_style():
        figure = Figure(figsize=(10.5, 4.2), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        middle.sharex(left)
        middle.sharey(left)
        runs = [*_draw_condition(left, study, reference), *_draw_condition(middle, study, compared)]
        left.set_ylim(*loss_limits(runs))
        left.set_ylabel(LOSS_LABEL)
        _draw_exponents(right, study, reference, compared)
        marks = (
            *THEORY_MARKS,
            Line2D([], [], color=INK, ls="", marker="o", mfc="white", ms=5.5, label="open: exponent, left panel"),
            Line2D([], [], color=INK, ls="", marker="o", ms=5.5, label="filled: exponent, middle panel"),
            *LEVELS,
        )
        legend_below(figure, study.labelled(pair_looks(study.pairs)), marks)
    return Drawing(name, "Headline", "", figure)


def _draw_condition(axes: Axes, study: Study, condition: str) -> list[Run]:
    """The curves of one condition; returns the runs that were drawn."""
    by_pair, looks = study.groups[condition], pair_looks(study.pairs)
    axes.set_title(f"{_first_row(by_pair)['model.name']}, {_sizes(by_pair)}")
    log_axes(axes)
    for pair, runs in by_pair.items():
        draw_loss(axes, runs, looks[pair], study.scheduled)
    axes.set_xlabel(study.time_label)
    return [run for runs in by_pair.values() for run in runs]


def _draw_exponents(axes: Axes, study: Study, reference: str, compared: str) -> None:
    pooled, looks = study.pooled, pair_looks(study.pairs)
    axes.set_title("long-window exponents")
    axes.axline((0, 0), slope=1, color=MUTED, lw=1.0, ls=(0, (4, 2)))
    axes.axhline(1, color=MUTED, lw=1.0)
    for condition, filled, aside in ((reference, False, -ASIDE), (compared, True, ASIDE)):
        for row in records(pooled.loc[pooled["condition"] == condition]):
            colour, mark = looks[row["data.data_exponent"], row["data.importance_exponent"]]
            x = row["alpha_sequential"] + aside
            axes.plot([x, x], [row["alpha_long_low"], row["alpha_long_high"]], color=colour, lw=1.3)
            axes.plot(
                [x],
                [row["alpha_long"]],
                mark,
                ms=6.5,
                color=colour,
                mfc=colour if filled else "white",
                zorder=3,
            )
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.set_xlabel(r"sequential exponent  $\alpha_{\rm seq}$")
    axes.set_ylabel(r"measured exponent  $\alpha$")
