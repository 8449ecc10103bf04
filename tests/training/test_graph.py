"""What a CUDA graph replays, run here without the capture: same data, same steps, no trace of the warm-up."""

import pytest
import torch

from superdyn.features.datamodule import FeatureDataModule
from superdyn.features.device_draws import DeviceDraws
from superdyn.training import engine as engine_module
from superdyn.training.engine import Engine

N_STEPS = 12


class Uncaptured:
    """Calls the step at every replay, after the same warm-up."""

    def __init__(self, step, state):
        before = [tensor.clone() for tensor in state]
        for _ in range(3):
            step()
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)
        self.step = step

    def replay(self, n_steps):
        for _ in range(n_steps):
            self.step()


def parameters(engine):
    return {name: tensor.clone() for name, tensor in engine._state().items()}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "muon"])
@pytest.mark.parametrize("loss", ["sampled", "population"])
def test_replays_train_every_step_on_its_own_data(loss, optimizer, make_config, monkeypatch):
    monkeypatch.setattr(engine_module, "CapturedStep", Uncaptured)
    changes = {"loss": loss, "model__activation": "linear" if loss == "population" else "relu"}
    configs = [
        make_config(
            seed=s, data__batch_size=64, optimizer__name=optimizer, optimizer__schedule="cosine",
            trainer__precision="64-true", trainer__compile=False, **changes,
        )
        for s in range(3)
    ]  # fmt: skip
    plain, replayed = Engine(configs), Engine(configs)
    draws = FeatureDataModule(configs, [0, N_STEPS]).stream.draws
    device_draws = DeviceDraws(configs, torch.float64)
    for engine in (plain, replayed):
        engine.prepare()
    plain.run(0, N_STEPS, None if loss == "population" else draws.batches(0, N_STEPS))
    for first, last in ((0, 8), (8, 9), (9, 12)):
        points = None if loss == "population" else device_draws.points(first, last - first)
        with torch.no_grad():
            replayed._replay(first, last - first, points)
    expected = parameters(plain)
    for name, tensor in parameters(replayed).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-9, atol=1e-12, msg=name)
