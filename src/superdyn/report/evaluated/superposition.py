"""Superposition of the input embedding and the unembedding over training time, a panel per measure."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from superdyn.report.evaluated.lines import MAX_MODELS, legend, model_colours, model_marks, time, time_label
from superdyn.report.study import Study
from superdyn.report.style import INK, Drawing, drawing_style

MATRICES = {"embedding": "-", "unembedding": (0, (4, 2))}
MEASURES = {
    "mean_square_overlap": r"mean $\cos^2$ between tokens, times $k$",
    "mean_feature_dimensionality": r"mean dimensionality $D_i$, times $V/k$",
    "participation_ratio": r"participation ratio, over $k$",
    "represented_fraction": r"represented: $\|W_i\| > \frac{1}{2}$",
    "dimensions_per_feature": r"dimensions per token $k/\|W\|_F^2$",
}
_MARKS = (
    Line2D([], [], color=INK, lw=1.6, label="input embedding"),
    Line2D([], [], color=INK, lw=1.6, ls=MATRICES["unembedding"], label="unembedding"),
)


def superposition_figure(study: Study) -> Drawing:
    """Five panels; the first three are scaled so that random directions give 1 or less."""
    runs = study.evaluations[:MAX_MODELS]
    with drawing_style():
        figure = Figure(figsize=(10.0, 5.6), layout="constrained")
        *panels, spare = figure.subplots(2, 3, sharex=True).flat  # measures of different scale: no common y
        spare.remove()
        for axes, (measure, title) in zip(panels, MEASURES.items(), strict=True):
            axes.set_title(title, fontsize=8)
            axes.set_xscale("log")
            for run, colour, mark in zip(runs, model_colours(runs), model_marks(runs), strict=True):
                t = time(run)
                size, width = run.row["evaluation.vocabulary_size"], run.row["evaluation.width"]
                scale = {"mean_square_overlap": width, "participation_ratio": 1 / width,
                         "mean_feature_dimensionality": size / width}.get(measure, 1.0)  # fmt: skip
                for matrix, look in MATRICES.items():
                    values = scale * run.curve[f"{matrix}_{measure}"].to_numpy(float)
                    axes.plot(t[t > 0], values[t > 0], color=colour, ls=look, lw=1.4, marker=mark, ms=3.2)
        for axes in panels[2:]:
            axes.set_xlabel(time_label(runs))
            axes.tick_params(labelbottom=True)
        legend(figure, runs, _MARKS)
    return Drawing("evaluation_superposition", "Superposition of embedding and unembedding", _CAPTION, figure)


_CAPTION = (
    "Measures of the two V × k matrices with a row for each token. Mean cos² between the rows of different tokens, in "
    "units of 1/k, its value for random directions. Mean feature dimensionality D_i in units of k/V, its largest "
    "possible mean. Participation ratio (Σσ²)²/Σσ⁴ as a part of the k dimensions. Share of rows longer than ½, and "
    "k/‖W‖²_F, both of which depend on the scale of the matrix. The definitions are those of the toy models' reports; "
    "a model with tied matrices has one line."
)
