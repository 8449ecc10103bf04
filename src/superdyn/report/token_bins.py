"""Figure 5 of language models: the loss of every frequency bin, ℓ_b(t)/ℓ_b(0).

The evaluation set is fixed, so the ratio of contributions is that of the mean loss of the bin's tokens. Axis legend:
`m` measurement, `b` bin.
"""

from itertools import pairwise
from typing import Any

import matplotlib
import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from superdyn import analysis
from superdyn.features.rank_bins import bin_edges
from superdyn.report.curves import panel_title
from superdyn.report.heatmap import relative_spectrum, representatives
from superdyn.report.study import Run, Study
from superdyn.report.style import MARKERS, Drawing, drawing_style, label_short_range, log_axes, panel_grid


def token_bins_figure(study: Study) -> Drawing:
    """The bins of some language models, the first seed of evenly chosen conditions."""
    chosen = [(condition, run) for condition, run in representatives(study) if run.reads_tokens]
    least_by_bin = [analysis.load_least_by_bin(run.path) for _, run in chosen]
    run = chosen[0][1]
    edges = bin_edges(int(run.row["data.n_features"]), int(run.row["data.tokens.bins"]))
    with drawing_style():
        label = r"relative loss of the bin  $\ell_b(t)/\ell_b(0)$"
        figure, panels = panel_grid(len(chosen), study.time_label, label, height=2.7)
        for axes, (condition, run), least in zip(panels, chosen, least_by_bin, strict=True):
            note = f"\n{study.law_label(run.pair)}" if len(study.pairs) > 1 else ""
            axes.set_title(panel_title(condition) + note, fontsize=8)
            log_axes(axes)
            times, relative = relative_spectrum(run, study.scheduled)
            for b, column in enumerate(relative.T):
                (line,) = axes.plot(times[times > 0], column[times > 0], **_look(b, relative.shape[1]))
                line.set_markevery((0.02 + 0.015 * b, 0.2))
            if least is not None:
                _draw_least(axes, run, least)
        label_short_range(panels[0])
        keys = [
            Line2D([], [], **_look(b, len(edges) - 1), label=_ranks(first, after - 1))
            for b, (first, after) in enumerate(pairwise(edges.tolist()))
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=max(1, int(figure.get_figwidth() // 1.9)))
    known = [least is not None for least in least_by_bin]
    floors = " ".join(text for text, told in ((_KNOWN, any(known)), (_UNKNOWN, not all(known))) if told)
    return Drawing("token_bins", "Loss by token frequency", f"{_CAPTION} {floors}", figure)


def _draw_least(axes: Axes, run: Run, least: Float[np.ndarray, "b"]) -> None:
    """A dash at the right edge for what the best prediction loses in each bin."""
    _, loss = analysis.load_spectrum(run.path)
    for b in np.flatnonzero(loss[0] > 0):
        height = float(least[b] / loss[0, b])
        look = {"color": _look(int(b), least.size)["color"], "lw": 2.0, "solid_capstyle": "butt"}
        axes.plot([1.0, 1.04], [height, height], transform=axes.get_yaxis_transform(), clip_on=False, **look)


def _look(b: int, bins: int) -> dict[str, Any]:
    """From light, which is frequent, to dark; the palest end of the ramp would not print."""
    colour = matplotlib.colormaps["viridis_r"](0.1 + 0.9 * b / max(1, bins - 1))
    return {"color": colour, "marker": MARKERS[b % len(MARKERS)], "ms": 3.2, "lw": 1.2}


def _ranks(first: int, last: int) -> str:
    return f"rank {first:,}" if first == last else f"ranks {first:,} to {last:,}"


_CAPTION = (
    "Mean loss of the tokens of each frequency bin relative to its start, for the first seed of each condition; "
    "light is frequent, dark is rare. Rank 1 is the most frequent token, by the exact frequencies of a synthetic "
    "language or by counts over the training files; bins are equally wide in the logarithm of the rank. Frequent "
    "tokens are learned first where their lines fall first."
)
_KNOWN = (
    "Dashes at the right edge: each bin's part of the least possible loss on these tokens. Over all bins together no "
    "model can be lower; in a single bin it can, if it predicts the bin's tokens too often, so that a line may cross "
    "its dash and come back to it."
)
_UNKNOWN = (
    "Where there are no dashes it is not known: text from files, a hierarchy (known only for whole sentences), runs "
    "of older versions."
)
