"""The folder of an evaluation through fit, report and status, alone and beside trainings."""

import json
import re
import shutil

import numpy as np
import pytest
from report.synthetic_sweep import Plan, write_sweep

pytest.importorskip("transformers", reason="the package transformers (extra llm) is not installed")

from superdyn.analysis import load_sweep
from superdyn.cli import main
from superdyn.report.evaluated.halftimes import token_halftimes_figure
from superdyn.report.study import load_study

TRAININGS = ("loss_curves", "local_slopes", "exponents", "exponent_list", "feature_heatmap", "half_times")
EVALUATIONS = ("evaluation_loss", "evaluation_bins", "evaluation_half_times", "evaluation_superposition")


def figures(page):
    return re.findall(r'<section id="figure-(\w+)">', page)


def test_fit_reads_it(measured, capsys):
    assert main(["fit", str(measured), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    result = json.loads((measured / "result.json").read_text())
    assert row["alpha"] == pytest.approx(result["alpha"])
    assert [row["window_start"], row["window_end"]] == result["window"]


def test_the_line_of_z_covers_the_ranks_that_it_was_fitted_to(measured):
    result = json.loads((measured / "result.json").read_text())
    (line,) = [
        line
        for line in token_halftimes_figure(load_study(measured)).figure.axes[0].lines
        if "z =" in str(line.get_label())
    ]
    first, last = result["half_time_features"]
    ranks = np.asarray(line.get_xdata(), dtype=float)
    assert first <= ranks.min()
    assert int(ranks.max()) == last
    assert "[" in str(line.get_label())


def test_status_and_table_of_runs(measured, capsys):
    assert main(["status", str(measured)]) == 0
    assert "1 done" in capsys.readouterr().out
    frame = load_sweep(measured.parent)
    assert frame["evaluation.vocabulary_size"].tolist() == [64]
    assert frame["state"].tolist() == ["done"]


def test_report_has_its_figures_and_no_theory(measured, tmp_path):
    shutil.copytree(measured, tmp_path / "neox")
    assert main(["report", str(tmp_path / "neox")]) == 0
    page = (tmp_path / "neox" / "report.html").read_text()
    assert figures(page) == list(EVALUATIONS)
    for name in EVALUATIONS:
        assert (tmp_path / "neox" / "figures" / f"{name}.png").stat().st_size > 10_000
    text = re.sub(r"<svg.*?</svg>|<style>.*?</style>", "", page, flags=re.DOTALL)
    assert 'id="evaluations-table"' in text
    assert 'id="exponents-table"' not in text
    for theory in ("α<sub>seq</sub>", "α<sub>rich</sub>", "exact theory"):
        assert theory not in text
    result = json.loads((tmp_path / "neox" / "result.json").read_text())
    low, high = result["alpha_ci"]
    assert f"{result['alpha']:.3f} [{low:.3f}, {high:.3f}]" in text


def test_trainings_and_evaluations_share_a_folder(measured, tmp_path):
    plan = Plan(pairs=((2.0, 0.0),), n_seeds=1, n_features=32, max_steps=500, models=("no_superposition",))
    write_sweep(tmp_path, plan)
    assert main(["report", str(tmp_path)]) == 0
    alone = (tmp_path / "report.html").read_text()
    shutil.copytree(measured, tmp_path / "neox")
    assert main(["report", str(tmp_path)]) == 0
    both = (tmp_path / "report.html").read_text()
    assert figures(both) == [*TRAININGS, *EVALUATIONS]
    exponents = r'<section id="exponents">.*?</section>'
    before, after = (re.search(exponents, page, re.DOTALL) for page in (alone, both))
    assert before
    assert after
    assert before.group() == after.group()


def test_a_folder_without_step_0_or_a_fit_is_reported(neox, tokens, tmp_path):
    command = ["evaluate", str(neox), str(tmp_path / "late"), "--tokens", str(tokens), "--revisions", "step40,step64"]
    assert main(command) == 0
    result = json.loads((tmp_path / "late" / "result.json").read_text())
    assert result["half_time_exponent"] is None
    assert result["half_time_note"] == "half-times need the loss at step 0, and the first measured step is 40"
    assert result["alpha"] is None
    assert np.isfinite(result["loss_final"])
    assert main(["report", str(tmp_path / "late")]) == 0
    page = (tmp_path / "late" / "report.html").read_text()
    assert "no fit" in page
    assert "Not drawn is the local exponent" in page
    assert "L<sub>inf</sub> + C (t + t<sub>0</sub>)<sup>−α</sup>" in page
