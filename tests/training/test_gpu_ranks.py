"""One rank in a process group, over NCCL on a GPU and over gloo on the CPU, trains as a process without a group.

Of several GPUs one shows this much: groups, strategies, reductions, gathered shards, checkpoints in parts. What it
cannot show are reduce-scatter, which torch leaves out in a group of one, the end of another rank, and speed.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from training.token_runs import TOKENS

from superdyn.cli import main
from superdyn.runs.folder import RunFolder
from superdyn.sweeps.points import Point
from superdyn.sweeps.sweep import run_sweep
from superdyn.training.data_parallel import brief

DEVICES = ["cpu", pytest.param("gpu", marks=pytest.mark.gpu)]
LANGUAGE = {**TOKENS, "model__decoder": {"n_layers": 2, "context": 16, "init_scale": 0.2}, "trainer__compile": False}
ROUNDED = {**LANGUAGE, "trainer__precision": "bf16-mixed", "trainer__checkpoint_activations": True}
PARTS = {
    **LANGUAGE,
    "trainer__precision": "64-true",
    "trainer__accumulate": 2,
    "optimizer__name": "muon",
    "optimizer__lr": 0.02,
}
DESCENT = {**LANGUAGE, "optimizer__name": "sgd", "optimizer__lr": 0.1, "optimizer__momentum": 0.9}
TOY = {"trainer__precision": "64-true", "optimizer__momentum": 0.9, "trainer__compile": False}
"""Batches of 32 are drawn by the host, as those of several ranks are."""
RUNS = {
    "toy, ddp": (TOY, 1e-8),
    "toy, another member, ddp": ({**TOY, "seed": 1}, 1e-8),
    "float32, ddp": (LANGUAGE, 1e-5),
    "float32, fsdp": (LANGUAGE, 1e-5),
    "in parts, ddp": (PARTS, 1e-8),
    "in parts, fsdp": (PARTS, 1e-8),
    "bf16-mixed, fsdp": (ROUNDED, 2e-3),
}
"""Changes, and how near the losses must be; the name ends with the strategy."""
COMPILED = {
    "float32, compiled, fsdp": ({**LANGUAGE, "trainer__compile": True}, 1e-5),
    "bf16-mixed, compiled, fsdp": ({**ROUNDED, "trainer__compile": True}, 2e-3),
}


def in_a_group(what, root, configs):
    """`group_of_one.py` in a process of its own; returns what it printed."""
    root.mkdir()
    (root / "runs.json").write_text(json.dumps({name: config.to_mapping() for name, config in configs.items()}))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    command = [*torchrun, Path(__file__).with_name("group_of_one.py"), what, root]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def assert_trains_alike(runs, accelerator, make_config, tmp_path):
    """Losses of a rank in a group against those of this process."""
    changes = {name: {**own, "trainer__accelerator": accelerator} for name, (own, _) in runs.items()}
    together = {n: make_config(**c, trainer__strategy=n.rpartition(" ")[2]) for n, c in changes.items()}
    done = in_a_group("train", tmp_path / "group", together)
    assert done.returncode == 0, done.stderr
    alone = {name: RunFolder(tmp_path / "alone" / name) for name in runs}
    run_sweep([Point((), make_config(**changes[name]), alone[name]) for name in runs], tmp_path / "alone")
    for name, (_, rtol) in runs.items():
        np.testing.assert_allclose(
            losses(RunFolder(tmp_path / "group" / name)), losses(alone[name]), rtol=rtol, err_msg=name
        )


def losses(folder):
    status, curve = folder.status(), folder.curve()
    assert status is not None
    assert status.state == "done", status.error
    assert curve is not None
    return curve["loss"]


@pytest.mark.parametrize("accelerator", [pytest.param("cpu", marks=pytest.mark.slow), *DEVICES[1:]])
def test_a_rank_in_a_group_of_one_trains_as_a_process_without(accelerator, make_config, tmp_path, monkeypatch):
    monkeypatch.setenv("NCCL_DEBUG", "INFO")
    monkeypatch.setenv("NCCL_DEBUG_SUBSYS", "COLL")
    monkeypatch.setenv("NCCL_DEBUG_FILE", str(tmp_path / "nccl.%p"))
    assert_trains_alike(RUNS, accelerator, make_config, tmp_path)
    if accelerator == "gpu":  # by the word of NCCL itself
        said = "".join(path.read_text() for path in tmp_path.glob("nccl.*"))
        assert "AllReduce" in said
        assert "AllGather" in said
        assert "Broadcast" in said


@pytest.mark.gpu
def test_compiled_blocks_train_in_shards_as_whole(make_config, tmp_path):
    assert_trains_alike(COMPILED, "gpu", make_config, tmp_path)


@pytest.mark.parametrize("accelerator", DEVICES)
def test_what_ranks_exchange_arrives_and_shards_are_saved_and_read(accelerator, make_config, tmp_path):
    config = make_config(**DESCENT, trainer__accelerator=accelerator, trainer__strategy="fsdp")
    done = in_a_group("exchange", tmp_path / "run", {"run": config})
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-0000000008.1-of-1.pt"]


@pytest.mark.gpu
def test_more_ranks_than_gpus_are_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    n_gpus = torch.cuda.device_count()
    assert main(["train", "trainer=ddp", f"trainer.devices={n_gpus + 1}", f"data.batch_size={32 * (n_gpus + 1)}"]) == 2
    (sentence,) = capsys.readouterr().err.splitlines()
    assert f"trainer.devices={n_gpus + 1}: this machine has {n_gpus} GPUs; at most as many are allowed" in sentence


def test_an_error_of_nccl_is_told_on_one_line():
    said = (
        "NCCL error in: /pytorch/torch/csrc/distributed/c10d/NCCLUtils.cpp:94, invalid usage (run with NCCL_DEBUG=WARN "
        "for details), NCCL version 2.28.9\nncclInvalidUsage: This usually reflects invalid usage of NCCL library.\n"
        "Last error:\nDuplicate GPU detected : rank 1 and rank 0 both on CUDA device 61000"
    )
    assert brief(RuntimeError(said)) == "Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 61000"
    assert brief(RuntimeError("Connection reset")) == "Connection reset"
