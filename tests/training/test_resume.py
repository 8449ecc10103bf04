"""A run that goes on from a checkpoint reaches the bits of the run that was never stopped."""

import numpy as np
import pytest
import torch
from training.test_packs import OPTIMIZERS, assert_same_run

from superdyn.runs.checkpoints import checkpoint_steps


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_resumed_equals_uninterrupted_bit_for_bit(optimizer, make_config, train_together, stop_at):
    configs = [
        make_config(seed=seed, optimizer__name=optimizer, optimizer__schedule="cosine", trainer__max_steps=40)
        for seed in range(2)
    ]
    whole = train_together(configs, "whole")
    stop_at(13)
    stopped = train_together(configs, "stopped")
    assert [folder.status().state for folder in stopped] == ["interrupted", "interrupted"]
    assert 13 <= checkpoint_steps(stopped[0].checkpoints)[-1] < 40
    stop_at.undo()
    resumed = train_together(configs, "stopped")
    assert [folder.status().state for folder in resumed] == ["done", "done"]
    for one, other in zip(whole, resumed, strict=True):
        assert_same_run(one, other)


def test_checkpoints_load_with_torchs_default_loader(make_config, train_together):
    (folder,) = train_together([make_config()])
    step = checkpoint_steps(folder.checkpoints)[-1]
    content = torch.load(folder.checkpoints / f"step-{step:010d}.pt")
    assert content["step"] == 20
    assert np.isfinite(content["state"]["student/core"].numpy()).all()


def test_a_finished_run_is_not_trained_again(make_config, train_together):
    (folder,) = train_together([make_config()])
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.is_file()}
    train_together([make_config()])
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*") if path.is_file()} == before
