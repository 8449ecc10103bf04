"""A measurement is of its own step: measures of the embedding as it is now, and nothing that changes later."""

import numpy as np
import pytest
import torch
from torch import nn

from superdyn.features.datamodule import FeatureDataModule
from superdyn.models.measures import superposition_measures
from superdyn.training import engine as engine_module
from superdyn.training.engine import Engine
from superdyn.training.module import SuperpositionModule


class Factorised(nn.Module):
    """y = Wᵀ W x, W = U V, which is computed anew whenever it is asked for."""

    def __init__(self, configs):
        super().__init__()
        draw = torch.Generator().manual_seed(0)
        self.left = nn.Parameter(torch.randn(len(configs), 16, 4, generator=draw) / 4)
        self.right = nn.Parameter(torch.randn(len(configs), 4, 32, generator=draw) / 4)

    def embedding(self):
        return self.left @ self.right

    def forward(self, x):
        return x @ self.embedding().mT @ self.embedding()


def trained(configs, steps):
    """An engine that was measured at step 0 and then trained."""
    engine = Engine(configs)
    engine.prepare()
    engine.measure(0)
    batches = FeatureDataModule(configs, [0, steps]).stream.draws.batches(0, steps)
    engine.run(0, steps, batches)
    return engine


@pytest.mark.parametrize("student", ["trained", "frozen", "of one's own"])
def test_measures_are_those_of_the_embedding_now(student, make_config, monkeypatch):
    if student == "of one's own":
        monkeypatch.setattr(engine_module, "build_student", Factorised)
    engine = trained([make_config(model__train_encoder=student != "frozen", model__activation="relu")], 20)
    _, measures = engine.measure(20)
    for name, value in superposition_measures(engine.student.embedding().detach()).items():
        torch.testing.assert_close(measures[name], value, rtol=0, atol=0)
    assert (engine.measure(20)[1]["participation_ratio"] is measures["participation_ratio"]) == (student != "trained")


@pytest.mark.parametrize("student", [
    {"model__encoder_init": "identity", "model__train_encoder": False, "model__width": 32}, {"model__core": "identity"},
    {"model__tied": False}, {"model__train_encoder": False},
], ids=["identity", "autoencoder", "untied", "frozen"])  # fmt: skip
def test_off_diagonal_energy_is_that_of_the_map_now(student, make_config):
    engine = trained([make_config(model__activation="relu", **student)], 20)
    measured, jacobian = engine.measure(20)[1]["off_diagonal_energy"], engine.student.linear_map().detach().double()
    diagonal = jacobian.diagonal(dim1=1, dim2=2).square().sum(dim=1)
    torch.testing.assert_close(measured, 1 - diagonal / jacobian.square().sum(dim=(1, 2)), rtol=1e-5, atol=1e-7)
    assert 0 < measured < 1


def test_a_run_begun_before_off_diagonal_energy_was_recorded_goes_on_with_it(make_config, train_together, stop_at):
    (whole,) = train_together([make_config()], "whole")
    stop_at(13)
    (folder,) = train_together([make_config()], "stopped")
    stop_at.undo()
    curve = folder.curve()
    del curve["off_diagonal_energy"]
    folder.write_curve(curve)
    (folder,) = train_together([make_config()], "stopped")
    after, expected = folder.curve(), whole.curve()
    lost = after["step"] <= curve["step"][-1]
    assert 0 < lost.sum() < len(lost)
    expected["off_diagonal_energy"] = np.where(lost, np.nan, expected["off_diagonal_energy"])
    for name, column in expected.items():
        np.testing.assert_array_equal(after[name], column, err_msg=name)


def test_a_measurement_does_not_change_when_its_member_diverges_later(make_config):
    module = SuperpositionModule([make_config(optimizer__lr=1e12, model__activation="linear")])
    module.engine.prepare()
    before = module.measure()
    for chunk in FeatureDataModule(module.configs, module.boundaries).train_dataloader():
        module.train_chunk(chunk)
    assert module.measure().diverged_at > 0
    assert before.diverged_at == -1
