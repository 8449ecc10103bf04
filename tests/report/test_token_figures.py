"""Figures of a small sweep of language models over width and rank: the numbers of the judge and of the results."""

from pathlib import Path

import numpy as np
import pytest

from superdyn.analysis import load_least_by_bin, load_spectrum, load_sweep
from superdyn.analysis.claims.token_width import token_width
from superdyn.analysis.half_time import half_time_exponent
from superdyn.config import ClaimConfig
from superdyn.hydra_app import train
from superdyn.report.curves import curves_figure
from superdyn.report.heatmap import representatives
from superdyn.report.page import write_report
from superdyn.report.study import Study, load_study
from superdyn.report.style import Drawing
from superdyn.report.tables import exponents_table, runs_table
from superdyn.report.token_bins import token_bins_figure
from superdyn.report.token_halftimes import training_halftimes_figure
from superdyn.report.width_lines import width_lines
from superdyn.report.widths import widths_figure

TEXT = ["model=language_model", "data=bigram_tokens", "data.n_features=32", "data.length=8", "data.batch_size=16",
        "data.tokens.eval_tokens=512", "model.tied=false", "model.decoder.size=null", "model.decoder.n_layers=1",
        "optimizer.lr=0.02", "trainer.points_per_decade=5", "logger=none"]  # fmt: skip
CLAIM = {"statement": "s", "source": "p", "judge": "token_width", "kind": "finding", "expected": 1.0,
         "tolerance": 0.25, "minutes": {}}  # fmt: skip


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tokens")
    for grid in (["model.width=4,8,16", "trainer.max_steps=20,80", "seed=0,1"],
                 ["model.width=16", "model.decoder.head_rank=2,4,8", "trainer.max_steps=80"]):  # fmt: skip
        assert train(["-m", f"hydra.sweep.dir={root}", *TEXT, *grid]) is not None
    return root


@pytest.fixture(scope="module")
def study(sweep: Path) -> Study:
    return load_study(sweep)


def test_the_line_of_width_is_that_of_the_judge(sweep: Path, study: Study):
    frame = load_sweep(sweep)
    widths = frame[frame["model.decoder.head_rank"].isna()]
    rows = token_width("c", ClaimConfig.model_validate(CLAIM), widths)
    width, rank = width_lines(study)
    judged = next(row for row in rows if row.quantity.startswith("β"))
    assert width.beta == pytest.approx(judged.measured, rel=1e-12)
    assert width.mean.tolist() == pytest.approx([row.measured for row in rows if row.verdict == "reported"])
    assert (width.over_seeds, width.above_least, width.steps, list(width.shorter)) == (True, True, 80, [20])
    assert (rank.at.tolist(), rank.over_seeds, rank.trained_out) == ([2, 4, 8], False, None)


def test_marks_are_open_where_a_width_was_not_trained_out(study: Study):
    lines = width_lines(study)
    axes = widths_figure(study, lines).figure.axes[0]
    marks = [line for line in axes.lines if line.get_linestyle() == "None"]
    filled, left_open = (np.asarray(line.get_xdata()).tolist() for line in marks)
    assert lines[0].converged is not None
    assert filled == lines[0].at[lines[0].converged].tolist()
    assert left_open == lines[0].at[~lines[0].converged].tolist()


def test_half_times_of_bins_are_those_behind_z(study: Study):
    run = next(run for run in study.runs if run.row["trainer.max_steps"] == 80 and run.row["model.width"] == 16)
    row = study.frame[study.frame["run"] == run.row["run"]]
    drawing = training_halftimes_figure(Study(study.root, row, [], {run.row["condition"]: {run.pair: [run]}}))
    assert isinstance(drawing, Drawing)
    ranks, times = np.asarray(drawing.figure.axes[0].lines[0].get_xydata()).T
    z = half_time_exponent(times, rank=ranks)
    np.testing.assert_allclose([z.z, *z.z_ci], [run.row[f"half_time_exponent{end}"] for end in ("", "_low", "_high")])


def test_a_dash_marks_what_the_true_law_loses_in_each_bin(study: Study):
    drawing = token_bins_figure(study)
    run, axes = representatives(study)[0][1], drawing.figure.axes[0]
    ends = [np.asarray(line.get_xydata()) for line in axes.lines]
    heights = [points[0, 1] for points in ends if points[:, 0].tolist() == [1.0, 1.04]]
    least, loss = load_least_by_bin(run.path), load_spectrum(run.path)[1][0]
    assert least is not None
    np.testing.assert_allclose(heights, (least / loss)[loss > 0], rtol=1e-6)
    assert "Dashes at the right edge" in drawing.caption
    assert "not known" not in drawing.caption


def test_bigrams_are_named_with_their_a_and_without_a_b(study: Study):
    legend = curves_figure(study).figure.legends[0]
    assert legend.get_texts()[0].get_text() == "bigram tokens, a = 1"
    for table in (exponents_table(study), runs_table(study)):
        first = dict(zip(table.columns, table.rows[0], strict=True))
        assert (first["data"].text, first["a"].text) == ("bigram tokens", "1")
        assert "b" not in table.columns


def test_what_too_few_measurements_leave_empty_is_said_instead_of_drawn(sweep: Path):
    page = write_report(sweep).read_text(encoding="utf-8")
    assert {path.stem for path in (sweep / "figures").glob("*.svg")} == {
        "loss_curves", "final_loss_by_width", "token_bins", "token_half_times", "superposition",
        "superposition_by_head_rank", "superposition_by_width"}  # fmt: skip
    assert "Not drawn are the local exponents of 15 runs" in page
    assert "No exponent was measured of" in page
    assert "number of tokens in the vocabulary" in page


def test_losses_that_span_little_have_labels_between_the_powers(study: Study):
    shown = curves_figure(study)
    axes = shown.figure.axes[0]
    low, high = axes.get_ylim()
    labels = axes.yaxis.get_major_formatter().format_ticks([y for y in axes.get_yticks() if low <= y <= high])
    assert len(labels) >= 4
    assert "0.9" in labels
