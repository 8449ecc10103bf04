"""Which line is which model in the figures of `superdyn evaluate`, and the time that they share."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from superdyn.report.study import Run
from superdyn.report.style import MARKERS, RAMPS

MAX_MODELS = 12
"""Models that are drawn; a folder with more shows the first of them and lists all in the table."""


def model_colours(runs: Sequence[Run]) -> list[str]:
    """A colour per model: four hues, then the same ones darker."""
    ramps = [LinearSegmentedColormap.from_list(f"m{i}", ramp) for i, ramp in enumerate(RAMPS)]
    return [to_hex(ramps[i % len(ramps)]((0.45, 0.95, 0.1)[i // len(ramps) % 3])) for i in range(len(runs))]


def model_marks(runs: Sequence[Run]) -> list[str]:
    """A mark per model, so that no model is told by its colour alone."""
    return [MARKERS[i % len(MARKERS)] for i in range(len(runs))]


def label(run: Run) -> str:
    """The model's name; a dollar sign in it starts no formula."""
    return str(run.row["condition"]).replace("$", r"\$")


def time(run: Run) -> Float[np.ndarray, "t"]:
    """The time of the run's fit: steps, or lr-time where a schedule was given."""
    return run.curve[run.row["axis"]].to_numpy(float)


def time_label(runs: Sequence[Run]) -> str:
    """What the time axis is, of one model or several."""
    axes = {run.row["axis"] for run in runs}
    if len(axes) > 1:
        return r"steps, or learning-rate time $\tau$ where a schedule is known"
    return r"learning-rate time  $\tau = \sum \eta$" if axes == {"lr_time"} else r"training time  $t$  (steps)"


def legend(figure: Figure, runs: Sequence[Run], marks: Sequence[Line2D]) -> None:
    """The key below: one colour per model, then what the kinds of line mean."""
    colours = model_colours(runs)
    looks = zip(colours, model_marks(runs), runs, strict=True)
    models = [Line2D([], [], color=c, lw=1.8, marker=mark, ms=5, label=label(run)) for c, mark, run in looks]
    figure.legend(handles=[*models, *marks], loc="outside lower center", ncols=3, handlelength=2.2)
