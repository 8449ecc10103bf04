"""docs/example as a repository of its own: what it adds trains and is judged with the commands that its file shows."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from superdyn.cli import main
from superdyn.runs.sweep_folder import run_folders

EXAMPLE = Path(__file__).parents[1] / "docs" / "example"
COMMAND = ["train", "-m", "--config-dir", "conf", "experiment=low_rank"]
TINY = ["logger=none", "trainer.max_steps=20", "data.n_features=16", "data.batch_size=8", "data.eval_size=64"]


@pytest.fixture
def example(tmp_path, monkeypatch):
    """A copy of the example as the working directory; its package is forgotten afterwards."""
    shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(tmp_path / "example")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path / "example"
    for name in [name for name in sys.modules if name.partition(".")[0] == "low_rank"]:
        del sys.modules[name]


def test_the_grid_of_the_example_trains_with_what_is_its_own(example):
    assert main([*COMMAND, *TINY]) == 0
    runs: list[Any] = list(run_folders("runs/low_rank"))
    points = sorted((run.config()["model"]["options"]["rank"], run.config()["seed"]) for run in runs)
    assert points == [(rank, seed) for rank in (2, 8) for seed in range(3)]
    for run in runs:
        assert run.status().state == "done"
        assert run.config()["model"]["_target_"] == "low_rank.student.LowRankStudent"
        assert run.config()["data"]["value_law"] == "low_rank.values.Exponential"
        assert run.config()["optimizer"]["name"] == "low_rank.rules.Lion"
        assert run.curve()["loss"][-1] < run.curve()["loss"][0]
        assert run.spectrum("interference")[1].shape == (len(run.curve()["largest_norm"]), 16)
        assert "low_rank" in run.environment()["packages"]
    assert sys.modules["low_rank.student"].__file__ == str(example / "low_rank" / "student.py")


def test_the_claim_of_the_example_is_judged_by_its_own_judge(example):
    experiment = example / "conf" / "experiment" / "low_rank.yaml"
    tiny = {"max_steps: 2000": "max_steps: 20", "Exponential": "Exponential, n_features: 16, eval_size: 64"}
    text = experiment.read_text().replace("range(3)", "0,1")
    for whole, small in tiny.items():
        text = text.replace(whole, small)
    experiment.write_text(text)
    assert main(["reproduce", "low_rank", "--config-dir", "conf", "--dir", "runs/claims"]) == 0
    (row,) = json.loads((example / "runs" / "claims" / "claims.json").read_text())
    assert (row["claim"], row["kind"]) == ("low_rank", "finding")
    assert row["low"] <= row["measured"] <= row["high"]


def test_a_run_of_the_example_can_be_retried_and_reported(example):
    assert main([*COMMAND, *TINY, "seed=0"]) == 0
    run = run_folders("runs/low_rank")[0]
    status = json.loads((run.path / "status.json").read_text())
    (run.path / "status.json").write_text(json.dumps(status | {"state": "failed"}))
    for name in [name for name in sys.modules if name.partition(".")[0] == "low_rank"]:
        del sys.modules[name]
    assert main(["retry", "runs/low_rank"]) == 0
    assert main(["report", "runs/low_rank"]) == 0
    assert (example / "runs" / "low_rank" / "report.html").is_file()


@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["run", "sweep"])
def test_a_rank_that_is_impossible_is_refused_in_one_sentence(mode, example, capsys):
    command = ["train", *mode, "--config-dir", "conf", "experiment=low_rank", *TINY]
    assert main([*command, "model.options.rank=99"]) == 2
    assert capsys.readouterr().err == ("superdyn: model.options.rank=99: must be an integer from 1 to model.width=8.\n")
    assert not list(example.rglob("status.json"))
