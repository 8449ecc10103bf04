"""Figure 5 of language models: the loss of every frequency bin, ℓ_b(t)/ℓ_b(0).

The evaluation set is fixed, so the ratio of contributions is that of the mean loss of the bin's tokens. Axis legend:
`m` measurement, `b` bin.
"""

from itertools import pairwise

import matplotlib
from matplotlib.lines import Line2D

from superdyn.features.rank_bins import bin_edges
from superdyn.report.curves import panel_title
from superdyn.report.heatmap import relative_spectrum, representatives
from superdyn.report.study import Study
from superdyn.report.style import Drawing, drawing_style, log_axes, pair_label, panel_grid


def token_bins_figure(study: Study) -> Drawing:
    """The bins of some language models, the first seed of evenly chosen conditions."""
    chosen = [(condition, run) for condition, run in representatives(study) if run.reads_tokens]
    colours = matplotlib.colormaps["viridis_r"]
    with drawing_style():
        label = r"relative loss of the bin  $\ell_b(t)/\ell_b(0)$"
        figure, panels = panel_grid(len(chosen), study.time_label, label, height=2.7)
        for axes, (condition, run) in zip(panels, chosen, strict=True):
            axes.set_title(f"{panel_title(condition)}\n{pair_label(run.pair)}", fontsize=8)
            log_axes(axes)
            times, relative = relative_spectrum(run, study.scheduled)
            for b, column in enumerate(relative.T):
                axes.plot(times[times > 0], column[times > 0], lw=1.2, color=colours(b / max(1, relative.shape[1] - 1)))
        run = chosen[0][1]
        edges = bin_edges(int(run.row["data.n_features"]), int(run.row["data.tokens.bins"]))
        keys = [
            Line2D([], [], color=colours(b / max(1, len(edges) - 2)), label=f"ranks {first:,} to {after - 1:,}")
            for b, (first, after) in enumerate(pairwise(edges.tolist()))
        ]
        figure.legend(handles=keys, loc="outside lower center", ncols=max(1, int(figure.get_figwidth() // 1.9)))
    return Drawing("token_bins", "Loss by token frequency", _CAPTION, figure)


_CAPTION = (
    "Mean loss of the tokens of each frequency bin relative to its start, for the first seed of each condition; "
    "light is frequent, dark is rare. Rank 1 is the most frequent token, by the exact frequencies of a synthetic "
    "language or by counts over the training files; bins are equally wide in the logarithm of the rank. Frequent "
    "tokens are learned first where their lines fall first."
)
