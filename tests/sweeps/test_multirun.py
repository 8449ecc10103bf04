"""`superdyn train -m`: which runs a grid means, where they go, and what is trained when it is launched again."""

import io
import json
import re
import shutil
from typing import Any

import pytest
from rich.console import Console

from superdyn.cli import main
from superdyn.runs.sweep_folder import run_folders
from superdyn.runs.sweep_status import status_table


def run_folders_of(outcome) -> list[Any]:
    return list(run_folders(outcome.sweep_dir))


def configs(outcome):
    return [folder.config() for folder in run_folders_of(outcome)]


def models_and_exponents(outcome):
    return sorted((c["model"]["name"], c["data"]["data_exponent"], c["seed"]) for c in configs(outcome))


def files_of_runs(folder):
    return {path: path.stat().st_mtime_ns for path in folder.glob("*/**/*") if path.is_file()}


def shown_status(folder):
    out = io.StringIO()
    Console(file=out, width=300).print(status_table(folder))
    return out.getvalue()


def test_runs_of_one_shape_train_together(sweep, capsys):
    outcome = sweep("data.n_features=16,24", "seed=0,1,2", "optimizer.lr=0.1,0.2", "trainer.progress=true")
    assert (outcome.done, outcome.total, outcome.exit_code) == (12, 12, 0)
    started = re.findall(r"(\d+)/12 runs finished · (\d+) in training · step 0/2", capsys.readouterr().out)
    assert started == [("0", "6"), ("6", "6")]


def test_run_folders_are_named_by_the_swept_keys_and_the_signature(sweep):
    outcome = sweep("data.n_features=16,24", "seed=0,1", "optimizer.lr=0.1")
    folders = run_folders_of(outcome)
    names = [folder.name for folder in folders]
    assert len(set(names)) == 4
    assert [re.sub("[0-9a-f]{8}$", "", name) for name in names] == [
        f"n_features={n},seed={seed}-" for n in (16, 24) for seed in (0, 1)
    ]
    assert [name[-8:] for name in names] == [folder.status().signature[:8] for folder in folders]


def test_jobs_that_mean_the_same_run_are_one(sweep):
    outcome = sweep("seed=0,1,0", "optimizer.lr=0.1,0.10", "trainer.chunk_steps=4,8")
    assert (outcome.done, outcome.total) == (2, 2)
    assert sorted(c["seed"] for c in configs(outcome)) == [0, 1]


def test_a_second_launch_trains_nothing(sweep):
    first = sweep("seed=0,1", "data.n_features=16,24")
    before = files_of_runs(first.sweep_dir)
    again = sweep("seed=0,1", "data.n_features=16,24")
    assert (again.done, again.skipped, again.exit_code) == (4, 4, 0)
    assert files_of_runs(first.sweep_dir) == before


def test_a_larger_grid_trains_only_what_is_new(sweep):
    first = sweep("seed=0,1")
    before = files_of_runs(first.sweep_dir)
    larger = sweep("seed=0,1,2", "optimizer.lr=0.25,0.1")
    assert (larger.done, larger.skipped, larger.total) == (6, 2, 6)
    after = files_of_runs(first.sweep_dir)
    assert {path: after[path] for path in before} == before
    assert len(run_folders_of(first)) == 6


def test_a_union_of_grids_trains_each_and_nothing_between(sweep, own_experiments):
    outcome = sweep(own_experiments, "experiment=two_models")
    assert models_and_exponents(outcome) == [
        *(("no_superposition", a, 0) for a in (1.2, 1.5)),
        *(("trained_embedding", a, seed) for a in (1.2, 1.5) for seed in (0, 1)),
    ]


def test_several_experiments_keep_their_own_grids_and_share_runs(sweep, own_experiments):
    outcome = sweep(own_experiments, "experiment=two_models,one_model")
    own = {name: set(experiment.signatures) for name, experiment in outcome.experiments.items()}
    assert [len(own[name]) for name in ("two_models", "one_model")] == [6, 2]
    assert outcome.done == len(own["two_models"] | own["one_model"]) == 7
    assert ("no_superposition", 2, 0) in models_and_exponents(outcome)
    assert len(own["two_models"] & own["one_model"]) == 1


def test_the_command_line_overrides_a_key_of_the_grid(sweep, own_experiments):
    outcome = sweep(own_experiments, "experiment=two_models", "data.data_exponent=1.3", "seed=5")
    assert models_and_exponents(outcome) == [("no_superposition", 1.3, 5), ("trained_embedding", 1.3, 5)]


@pytest.fixture
def half_failed(sweep):
    """Of two seeds and two learning rates the larger rate diverges."""
    return sweep("model.activation=linear", "seed=0,1", "optimizer.lr=0.1,1e12", "trainer.max_steps=20")


def test_a_failing_member_makes_the_exit_code_1_and_the_others_finish(half_failed):
    assert (half_failed.exit_code, half_failed.done, len(half_failed.failed)) == (1, 2, 2)
    assert all("lr=1000000000000.0" in name for name in half_failed.failed)
    text = half_failed.summary()
    assert f"superdyn status {half_failed.sweep_dir}" in text
    assert "2 done (0 before), 2 failed" in text


def test_status_shows_every_point_and_why_it_failed(half_failed):
    shutil.rmtree(_done_folder(half_failed))
    shown = shown_status(half_failed.sweep_dir)
    assert "4 runs: 1 done, 2 failed, 1 missing" in shown
    assert shown.count("diverged at step") == 2


def test_a_failed_run_is_left_alone_until_it_is_retried(half_failed, sweep):
    before = files_of_runs(half_failed.sweep_dir)
    again = sweep("model.activation=linear", "seed=0,1", "optimizer.lr=0.1,1e12", "trainer.max_steps=20")
    assert (again.exit_code, again.done, again.skipped) == (1, 2, 2)
    assert files_of_runs(half_failed.sweep_dir) == before


def test_retry_trains_the_failed_and_the_missing(half_failed, capsys):
    gone = _done_folder(half_failed)
    shutil.rmtree(gone)
    failed = half_failed.sweep_dir / half_failed.failed[0] / "status.json"
    before = failed.stat().st_mtime_ns
    assert main(["retry", str(half_failed.sweep_dir)]) == 1  # the diverging runs diverge again
    assert "2 done (1 before), 2 failed, 4 runs" in capsys.readouterr().out
    assert json.loads((gone / "status.json").read_text())["state"] == "done"
    assert failed.stat().st_mtime_ns > before


def test_all_members_may_diverge(sweep, capsys):
    outcome = sweep("model.activation=linear", "seed=0,1", "optimizer.lr=1e12", "trainer.max_steps=200",
                    "trainer.progress=true")  # fmt: skip
    assert len(outcome.failed) == 2
    assert all("diverged at step" in folder.status().error for folder in run_folders_of(outcome))
    assert "2/2 runs finished" in capsys.readouterr().out


def _done_folder(outcome):
    return next(f.path for f in run_folders_of(outcome) if f.name not in outcome.failed)
