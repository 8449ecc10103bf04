"""A language model whose parameters are sharded over two ranks (real processes, gloo) is that of one process."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from sweeps.command import SUPERDYN
from sweeps.test_ranks import train_on_two_ranks
from training.test_packs import assert_same_run, final_state
from training.token_runs import BIGRAM, GPT2, LLAMA, TOKENS

from superdyn.runs.checkpoints import checkpoint_steps
from superdyn.runs.folder import RunFolder
from superdyn.runs.manifest import Manifest, difference
from superdyn.sweeps.points import Point
from superdyn.sweeps.sweep import run_sweep

PLAIN = {**TOKENS, "model__decoder": {"n_layers": 2, "context": 16, "init_scale": 0.2}, "trainer__max_steps": 20}
DOUBLE = {**PLAIN, "trainer__precision": "64-true"}
GROWING = {"optimizer__weight_decay": -0.5, "optimizer__weight_decay_on": "encoder"}
RUNS = {
    "sgd": {**DOUBLE, "optimizer__name": "sgd", "optimizer__lr": 0.1, "optimizer__momentum": 0.9},
    "normalized": {**DOUBLE, "optimizer__name": "normalized", "optimizer__lr": 0.1},
    "clipped": {**DOUBLE, "optimizer__name": "sgd", "optimizer__lr": 0.5, "optimizer__clip_norm": 0.3},
    "adam": {**DOUBLE, "optimizer__name": "adam"},
    "adamw": DOUBLE,
    "muon": {**DOUBLE, "optimizer__name": "muon", "optimizer__lr": 0.02, "optimizer__momentum": 0.9},
    "growing rows": {**DOUBLE, **GROWING},
    "growing rows, each cut in two": {**DOUBLE, **GROWING, "data__n_features": 63},
    "gpt2, untied, in parts, recomputed": {
        **DOUBLE,
        "model__decoder": {**GPT2, "init_scale": 0.2, "head_rank": 8},
        "model__tied": False,
        "trainer__accumulate": 2,
        "trainer__checkpoint_activations": True,
    },
    "llama, frozen embedding": {
        **DOUBLE,
        "model__decoder": {**LLAMA, "init_scale": 0.2},
        "model__train_encoder": False,
        "data__tokens": BIGRAM,
    },
    "float32": PLAIN,
    "bf16-mixed": {**PLAIN, "trainer__precision": "bf16-mixed", "trainer__checkpoint_activations": True},
}
"""Each a run of its own; the last two round."""

LARGE = {"data__n_features": 512, "model__width": 64, "model___target_": "training.shard_students.Weighed"}
MORTAL = {**DOUBLE, "model___target_": "training.shard_students.Mortal", "trainer__checkpoint_schedule": "public",
          "trainer__max_steps": 40}  # fmt: skip
RTOL = {"float32": 1e-5, "bf16-mixed": 2e-3}


def loss(folder):
    return folder.curve()["loss"]


def train_both_ways(root, make_config, changes):
    """The run folders by name of two ranks that shard and of one process; and the exit code of the ranks."""
    ranks = {"trainer__devices": 2, "trainer__strategy": "fsdp"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=":")
        patch.setenv("SUPERDYN_PACKAGES", "training")
        patch.setenv("WEIGHTS", str(root))
        together, code = train_on_two_ranks(root, {n: make_config(**c, **ranks) for n, c in changes.items()})
        alone = {name: RunFolder(root / "alone" / name) for name in changes if name != "fragile"}
        run_sweep([Point((), make_config(**changes[name]), alone[name]) for name in alone], root / "alone")
    return together, alone, code


@pytest.fixture(scope="module")
def trained(make_config, tmp_path_factory):
    """The folders of two ranks, those of one process, and the folder of weights."""
    root = tmp_path_factory.mktemp("shards")
    fragile = {**DOUBLE, "model___target_": "training.shard_students.Fragile"}
    runs = {"fragile": fragile, **RUNS, "weighed": {**DOUBLE, **LARGE}}
    together, alone, code = train_both_ways(root, make_config, runs)
    assert code == 1  # one run fails
    return together, alone, root


@pytest.fixture(scope="module")
def undisturbed(make_config, tmp_path_factory):
    """The folder of two ranks, and that of one process."""
    together, alone, code = train_both_ways(tmp_path_factory.mktemp("undisturbed"), make_config, {"mortal": MORTAL})
    assert code == 0
    return together["mortal"], alone["mortal"]


@pytest.mark.parametrize("name", RUNS)
def test_two_ranks_train_as_one_process(name, trained):
    one, two = trained[1][name], trained[0][name]
    np.testing.assert_array_equal(two.curve()["step"], one.curve()["step"])
    rtol, sequences = RTOL.get(name, 1e-9), TOKENS["data__tokens"]["eval_tokens"] / TOKENS["data__length"]
    for column, values in two.curve().items():
        # A standard error is that of differences of losses, each of which is the same to rtol of a loss.
        atol = rtol * loss(one)[0] / np.sqrt(sequences) if column == "excess_error" else 0.0
        np.testing.assert_allclose(values, one.curve()[column], rtol=rtol, atol=atol, err_msg=column)
    assert two.status().signature == one.status().signature


@pytest.mark.parametrize("name", [name for name in RUNS if name not in RTOL])
def test_the_state_put_together_is_that_of_one_process(name, trained):
    one, two = final_state(trained[1][name]), final_state(trained[0][name])
    assert two.keys() == one.keys()
    for key, tensor in two.items():
        torch.testing.assert_close(tensor, one[key], rtol=1e-6, atol=1e-9)


def test_a_loss_that_is_not_finite_on_one_rank_fails_the_run_on_all_and_the_next_run_trains(trained):
    status = trained[0]["fragile"].status()
    assert status.state == "failed"
    assert "diverged at step 10:" in status.error
    assert trained[0]["sgd"].status().state == "done"


def test_a_rank_holds_half_of_the_parameters_and_of_the_optimizer_state(trained):
    whole = sum(tensor.nbytes for tensor in final_state(trained[1]["weighed"]).values())
    for rank in "01":
        assert 0.5 * whole < json.loads((trained[2] / f"bytes {rank}").read_text()) < 0.6 * whole
    parts = sorted(trained[0]["weighed"].checkpoints.glob("step-0000000020.*.pt"))
    assert [path.name.split(".")[1] for path in parts] == ["1-of-2", "2-of-2"]
    for path in parts:
        held = torch.load(path)["state"].values()
        assert 0.5 * whole < sum(tensor.nbytes for tensor in held) < 0.51 * whole


def test_the_manifest_lists_the_parts_of_all_ranks_as_they_were_written(trained):
    folder = trained[0]["weighed"]
    manifest = Manifest.read(folder.path)
    assert manifest is not None
    parts = [f"checkpoints/{path.name}" for path in sorted(folder.checkpoints.iterdir())]
    assert [name for name in manifest.files if name.startswith("checkpoints/")] == parts
    assert len(parts) == 2
    assert all(difference(folder.path / name, entry) is None for name, entry in manifest.files.items())


@pytest.mark.slow
def test_compiled_blocks_train_alike_with_parts_recomputation_and_bf16(tmp_path, monkeypatch, make_config):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=":")
    monkeypatch.setenv("SUPERDYN_PACKAGES", "training")
    changes = {**RUNS["gpt2, untied, in parts, recomputed"], "trainer__devices": 2, "trainer__strategy": "fsdp"}
    compiled = {"model___target_": "training.shard_students.Compiled"}
    rounded = {"trainer__precision": "bf16-mixed"}
    runs = {"plain": {}, "compiled": compiled, "rounded": rounded, "rounded, compiled": {**rounded, **compiled}}
    folders, code = train_on_two_ranks(tmp_path, {n: make_config(**{**changes, **c}) for n, c in runs.items()})
    assert code == 0
    for one, two, rtol in (("plain", "compiled", 1e-9), ("rounded", "rounded, compiled", 2e-3)):
        np.testing.assert_allclose(loss(folders[two]), loss(folders[one]), rtol=rtol)


def killed(root, monkeypatch, make_config, *, step, after, rank=1):
    """A run on two ranks of which one dies when the other has written its part of the checkpoint of `step`."""
    config = make_config(**MORTAL, trainer__devices=2, trainer__strategy="fsdp")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=":")
    monkeypatch.setenv("SUPERDYN_PACKAGES", "training")
    folder = RunFolder(root / "run")
    with monkeypatch.context() as patch:
        patch.setenv("KILL_RANK", str(rank))
        patch.setenv("KILL_AFTER", str(after))
        patch.setenv("KILL_WHEN", str(folder.checkpoints / f"step-{step:010d}.{2 - rank}-of-2.pt"))
        _, code = train_on_two_ranks(root, {"run": config})
    assert code not in (0, 143)
    return folder, config


@pytest.mark.slow
def test_a_kill_between_two_writes_leaves_the_set_before_and_the_run_ends_with_the_same_bits(
    undisturbed, tmp_path, monkeypatch, make_config
):
    folder, config = killed(tmp_path, monkeypatch, make_config, step=32, after=16)
    assert checkpoint_steps(folder.checkpoints)[-1] == 16
    assert [path.name for path in folder.checkpoints.glob("step-0000000032*")] == ["step-0000000032.1-of-2.pt"]
    _, code = train_on_two_ranks(tmp_path, {"run": config})
    assert code == 0
    assert_same_run(folder, undisturbed[0])


@pytest.mark.slow
def test_two_ranks_then_one_process_then_two_ranks_train_as_one_process(
    undisturbed, tmp_path, monkeypatch, make_config
):
    folder, config = killed(tmp_path, monkeypatch, make_config, step=16, after=8)
    task = tmp_path / "task.json"
    alone = make_config(**MORTAL)
    folder.prepare(alone.to_mapping(), alone.signature())
    with monkeypatch.context() as patch:
        patch.setenv("KILL_RANK", "0")
        patch.setenv("KILL_AFTER", str(16 - 8))
        command = [sys.executable, "-m", "superdyn.sweeps.workers.worker", str(task)]
        assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert checkpoint_steps(folder.checkpoints)[-1] == 16
    assert (folder.checkpoints / "step-0000000016.pt").exists()
    _, code = train_on_two_ranks(tmp_path, {"run": config})
    assert code == 0
    np.testing.assert_allclose(loss(folder), loss(undisturbed[1]), rtol=1e-9)
    one, two = final_state(undisturbed[1]), final_state(folder)
    for key, tensor in two.items():
        torch.testing.assert_close(tensor, one[key], rtol=1e-6, atol=1e-9)


COMMAND = [
    SUPERDYN, "train", "model=language_model", "trainer=fsdp", "trainer.devices=2",
    "trainer.accelerator=cpu", "logger=none", "data.n_features=32", "data.batch_size=4", "data.length=8",
    "data.tokens.eval_tokens=64", "model.width=16", "model.decoder.n_layers=1", "model.decoder.size=null",
    "optimizer=adam", "optimizer.lr=0.001", "trainer.max_steps=400", "trainer.chunk_steps=4",
    "trainer.checkpoint_minutes=0.001",
]  # fmt: skip


@pytest.mark.slow
def test_after_sigterm_all_parts_are_there_and_the_same_command_goes_on_to_the_same_bits(tmp_path):
    stopped, whole = (RunFolder(tmp_path / name) for name in ("stopped", "whole"))
    subprocess.run([*COMMAND, f"hydra.run.dir={whole.path}"], check=True)
    process = subprocess.Popen([*COMMAND, f"hydra.run.dir={stopped.path}"])
    while (status := stopped.status()) is None or status.step == 0:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 143
    status = stopped.status()
    assert status is not None
    assert status.state == "interrupted"
    assert 0 < status.step < 400
    assert checkpoint_steps(stopped.checkpoints)[-1] == status.step
    subprocess.run([*COMMAND, f"hydra.run.dir={stopped.path}"], check=True)
    assert_same_run(stopped, whole)
