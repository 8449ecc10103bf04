"""A run on two ranks (real processes, gloo) is the run of one process at the same global batch."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_transformer import TRANSFORMER
from training.test_packs import final_state
from training.token_runs import TOKENS

from superdyn.cli import main
from superdyn.runs.folder import RunFolder
from superdyn.runs.status import Status
from superdyn.sweeps.executors.rank_groups import run_group, train_by_groups
from superdyn.sweeps.launch import Launch
from superdyn.sweeps.points import Point
from superdyn.sweeps.sweep import run_sweep

DOUBLE = {"trainer__precision": "64-true", "trainer__max_steps": 40, "data__eval_size": 1024}
LINEAR = {"model__activation": "linear", "model__core_init_scale": 0.1}
OWN = {"model__name": "own", "model__width": 32}
RUNS = {
    "sgd": {"optimizer__momentum": 0.9},
    "sgd, another member": {"optimizer__momentum": 0.9, "seed": 1, "optimizer__lr": 0.05},
    "normalized": {"optimizer__name": "normalized"},
    "adam": {"optimizer__name": "adam", "optimizer__lr": 0.01, "model__bias": True},
    "adamw": {"optimizer__name": "adamw", "optimizer__lr": 0.01, "optimizer__weight_decay": 0.1},
    "muon": {"optimizer__name": "muon", "optimizer__lr": 0.02, "optimizer__momentum": 0.9},
    "linear": LINEAR,
    "float32": {"trainer__precision": "32-true", "logger__name": "wandb"},
    "own": {**OWN, "model___target_": "training.rank_students.OneLayer"},
    "transformer": {
        **TRANSFORMER,
        "data__lag": 1,
        "data__eval_size": 1024,
        "optimizer__name": "adamw",
        "optimizer__lr": 0.003,
    },
    "language model": {**TOKENS, "model__decoder": {"n_layers": 2, "context": 16, "init_scale": 0.2}},
}
"""Each a pack of its own, but for the first two; the linear one is measured exactly, the others on evaluation sets."""

LAST = {"failing": {**OWN, "model___target_": "training.rank_students.Failing"}}
"""An error ends the group."""

FRAGILE = {"fragile": {**OWN, "model___target_": "training.rank_students.Fragile"}}


def train_on_two_ranks(root, configs):
    """Train the folders of these configurations with one group; returns its exit code."""
    folders = {name: RunFolder(root / name) for name in configs}
    for name, config in configs.items():
        folders[name].prepare(config.to_mapping(), config.signature())
    task = root / "task.json"
    task.write_text(json.dumps({"sweep_dir": str(root), "folders": list(configs)}))
    return folders, run_group(task, 2)


@pytest.fixture(scope="module")
def trained(make_config, tmp_path_factory):
    """By name: the run folders of two ranks and those of one process; and the exit code of the ranks."""
    root = tmp_path_factory.mktemp("ranks")
    changes = {name: {**DOUBLE, **own} for name, own in {**FRAGILE, **RUNS, **LAST}.items()}
    ranks = {"trainer__devices": 2, "trainer__strategy": "ddp"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=":")
        patch.setenv("WANDB_MODE", "offline")
        patch.setenv("SUPERDYN_PACKAGES", "training")
        together, code = train_on_two_ranks(root, {n: make_config(**c, **ranks) for n, c in changes.items()})
        alone = {name: RunFolder(root / "alone" / name) for name in RUNS}
        run_sweep([Point((), make_config(**changes[name]), alone[name]) for name in RUNS], root / "alone")
    return together, alone, code


@pytest.mark.parametrize("name", RUNS)
def test_two_ranks_train_as_one_process_at_the_same_global_batch(name, trained):
    together, alone, _ = trained
    one, two = alone[name], together[name]
    assert two.status().state == "done"
    np.testing.assert_array_equal(two.curve()["step"], one.curve()["step"])
    np.testing.assert_allclose(two.curve()["loss"], one.curve()["loss"], rtol=1e-6)
    rtol = 1e-4 if name == "float32" else 1e-6  # rare features are tiny in float32
    np.testing.assert_allclose(two.spectrum()[1], one.spectrum()[1], rtol=rtol)
    assert two.status().signature == one.status().signature


@pytest.mark.parametrize("name", ["sgd", "muon", "own"])
def test_the_state_to_resume_from_is_that_of_one_process(name, trained):
    together, alone, _ = trained
    state = final_state(alone[name])
    for key, tensor in final_state(together[name]).items():
        torch.testing.assert_close(tensor, state[key], rtol=1e-7, atol=1e-9)


def test_a_loss_that_is_not_finite_on_one_rank_fails_the_run_on_all_and_the_next_run_trains(trained):
    together, _, code = trained
    status = together["fragile"].status()
    assert status.state == "failed"
    assert "diverged at step 10:" in status.error
    assert code == 1
    assert together["own"].status().state == "done"


def test_an_error_on_one_rank_is_the_runs_and_ends_the_group(trained):
    status = trained[0]["failing"].status()
    assert status.state == "failed"
    assert status.error == "RuntimeError on rank 1: the second rank is on fire"


def test_one_rank_writes_to_wandb(trained):
    assert len(list((trained[0]["float32"].path / "wandb").glob("offline-run-*"))) == 1


@pytest.mark.slow
def test_a_run_that_another_process_has_taken_meanwhile_is_left_to_it(make_config, tmp_path):
    config, folder = make_config(trainer__devices=2, trainer__strategy="ddp"), RunFolder(tmp_path / "run")
    folder.prepare(config.to_mapping(), config.signature())
    folder.write_status(Status("running", 0, 20, config.signature(), "run"))  # by this process, which lives on
    point = Point((), config, folder)
    train_by_groups(Launch(tmp_path, (point,)), [point])
    assert point.state() == "running"


PLACES = {
    "torchrun": {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2"},
    "srun": {"SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_NUM_NODES": "2", "SLURM_LOCALID": "1"},
}


@pytest.mark.parametrize("starter", PLACES)
@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("", ["trainer.devices=1", "trainer=ddp trainer.devices=2 trainer.num_nodes=2"]),
        ("trainer=ddp trainer.devices=4", ["trainer.devices=4", "trainer.devices=2 trainer.num_nodes=2"]),
        ("-m seed=0,1", ["-m:", "launcher=local trainer=ddp trainer.devices=2"]),
    ],
)
def test_ranks_that_do_not_fit_the_command_are_refused(starter, command, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for key, value in PLACES[starter].items():
        monkeypatch.setenv(key, value)
    assert main(["train", *command.split()]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    for word in [f"{starter} started 4 ranks", *words]:
        assert word in sentence
    assert not list(tmp_path.rglob("config.yaml"))


def test_a_batch_script_without_srun_is_one_process(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for key, value in {"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "7"}.items():
        monkeypatch.setenv(key, value)
    small = ["logger=none", "trainer.max_steps=2", "trainer.progress=false", "data.eval_size=64", "data.batch_size=8"]
    assert main(["train", *small]) == 0
