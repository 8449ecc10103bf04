"""Half-times of tokens against their frequency rank, for evaluated checkpoints, with the exponent z."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from superdyn.analysis.evaluated import half_times_by_rank
from superdyn.report.evaluated.lines import MAX_MODELS, label, legend, model_colours, model_marks, time_label
from superdyn.report.halftimes import fitted_ranks
from superdyn.report.study import Run, Study
from superdyn.report.style import INK, Drawing, drawing_style, label_short_range, log_axes, with_interval

_MARKS = (
    Line2D([], [], color=INK, ls="", marker="o", ms=4, label="half-time of a bin"),
    Line2D([], [], color=INK, lw=1.3, label=r"fit $t_{1/2} \propto i^{\,z}$"),
)


def token_halftimes_figure(study: Study) -> Drawing:
    """One point per bin of equal width in log rank."""
    runs = study.evaluations[:MAX_MODELS]
    with drawing_style():
        figure = Figure(figsize=(6.4, 3.9), layout="constrained")
        axes = figure.subplots()
        log_axes(axes)
        looks = zip(runs, model_colours(runs), model_marks(runs), strict=True)
        drawn = [_draw(axes, run, colour, mark) for run, colour, mark in looks]
        if not any(drawn):
            axes.text(0.5, 0.5, "no bin has halved its loss", transform=axes.transAxes, ha="center", color=INK)
        label_short_range(axes)
        axes.set_xlabel(r"mean frequency rank of the bin  $i$")
        axes.set_ylabel("half-time in " + time_label(runs))
        if axes.get_legend_handles_labels()[0]:
            axes.legend(loc="upper left", fontsize=7, handlelength=1.0)
        legend(figure, runs, _MARKS)
    return Drawing("evaluation_half_times", "Half-times by token frequency", _CAPTION, figure)


def _draw(axes: Axes, run: Run, colour: str, mark: str) -> bool:
    """Draw what has halved; whether anything has."""
    rank, times = half_times_by_rank(run.path, run.curve, run.row["axis"])
    halved = np.isfinite(times) & (times > 0)
    axes.plot(rank[halved], times[halved], mark, ms=4, color=colour)
    z, low, high = (float(run.row[f"half_time_exponent{end}"]) for end in ("", "_low", "_high"))
    first, last = fitted_ranks([run])
    fitted = halved & (rank >= first) & (np.floor(rank) <= last)
    if np.isfinite(z) and fitted.any():
        centre = np.median(np.log(times[fitted]) - z * np.log(rank[fitted]))
        missing = "" if halved.all() else f", {np.sum(~halved)} of {halved.size} bins not halved"
        text = f"{label(run)}: z = {with_interval(z, (low, high))}{missing}"
        axes.plot(rank[fitted], np.exp(centre) * rank[fitted] ** z, color=colour, lw=1.3, label=text)
    return bool(halved.any())


_CAPTION = (
    "Time at which the mean loss of a bin of tokens has fallen to half of its value at step 0, against the mean "
    "frequency rank of the bin (geometric, weighted with occurrences). These bins are equally wide in log rank, so "
    "that they spread evenly over this axis. The loss counts as it is, with the part that no model can remove: a bin "
    "whose tokens cannot be predicted to half of ln V never halves and has no point. Without a revision of step 0 "
    "there are no half-times. z is fitted from rank 4 to the first bin that has not halved and needs four bins; its "
    "line covers those, brackets are its 95 % interval."
)
