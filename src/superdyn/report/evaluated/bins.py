"""Loss of evaluated checkpoints in bins of tokens by frequency, a panel per model.

Each bin holds an equal part of the text, the most frequent tokens first. Axis legend: `m` measurement, `b` bin.
"""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex

from superdyn.analysis.evaluated import load_bin_losses, load_bins
from superdyn.report.curves import panel_title
from superdyn.report.evaluated.lines import MAX_MODELS, time, time_label
from superdyn.report.evaluated.loss import LOSS_LABEL, log_loss_axes
from superdyn.report.study import Run, Study
from superdyn.report.style import MARKERS, RAMPS, Drawing, drawing_style, panel_grid

_COMMON_TO_RARE = LinearSegmentedColormap.from_list("rarity", [*RAMPS[1], "#632777"])


def bins_figure(study: Study) -> Drawing:
    """The small multiples of the bins' losses."""
    runs = study.evaluations[:MAX_MODELS]
    with drawing_style():
        figure, panels = panel_grid(len(runs), time_label(runs), LOSS_LABEL, columns=2, height=3.4)
        for axes, run in zip(panels, runs, strict=True):
            axes.set_title(panel_title(str(run.row["condition"])))
            _draw(axes, run)
    return Drawing("evaluation_bins", "Loss by token frequency", _CAPTION, figure)


def _draw(axes: Axes, run: Run) -> None:
    steps, losses = load_bin_losses(run.path, "occurrences")
    bins = load_bins(run.path, "occurrences")
    times = pd.Series(time(run), index=run.curve["step"]).loc[steps].to_numpy(float)
    later = times > 0
    for number in np.flatnonzero(np.isfinite(losses).any(axis=0)):
        colour = to_hex(_COMMON_TO_RARE(number / max(len(bins) - 1, 1)))
        mark = MARKERS[number % len(MARKERS)]
        look = {"color": colour, "marker": mark, "ms": 3.0, "lw": 1.3}
        axes.plot(times[later], losses[later, number], label=_ranks(bins.iloc[number]), **look)
    log_loss_axes(axes)
    axes.legend(title="ranks", title_fontsize=7, fontsize=6.5, loc="center left", bbox_to_anchor=(1.0, 0.5),
                handlelength=1.8, labelspacing=0.25, borderpad=0.1)  # fmt: skip


def _ranks(row: pd.Series) -> str:
    first, last = int(row["first_rank"]), int(row["last_rank"])
    return f"{first:,}" if first == last else f"{first:,}–{last:,}"


_CAPTION = (
    "Mean loss of the tokens in each bin, in nats per token. Tokens are ordered by frequency and cut into bins that "
    "each hold an equal share of all occurrences, as nearly as whole tokens allow; the key gives the frequency "
    "ranks of a bin. Light: frequent tokens; dark: rare ones. A bin whose tokens are never a target in the evaluated "
    "text has no line, and a bin beside a token that alone makes up more than a bin's share holds no tokens."
)
