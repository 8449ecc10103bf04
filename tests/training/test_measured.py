"""A measurement is of its own step: measures of the embedding as it is now, and nothing that changes later."""

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


def test_a_measurement_does_not_change_when_its_member_diverges_later(make_config):
    module = SuperpositionModule([make_config(optimizer__lr=1e12, model__activation="linear")])
    module.engine.prepare()
    before = module.measure()
    for chunk in FeatureDataModule(module.configs, module.boundaries).train_dataloader():
        module.train_chunk(chunk)
    assert module.measure().diverged_at > 0
    assert before.diverged_at == -1
