"""What a CUDA graph replays, run here without the capture: same data, same steps, nothing read back, compiled once."""

import subprocess
import sys
from itertools import pairwise

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from training.uncaptured import Uncaptured

from superdyn.features.batches import SparseBatch
from superdyn.features.batching import DenseBatches
from superdyn.features.datamodule import Chunk, FeatureDataModule
from superdyn.features.device_draws import DeviceDraws
from superdyn.models.product import matmul_operands
from superdyn.training import engine as engine_module
from superdyn.training.chunk_batches import ChunkBatches
from superdyn.training.engine import Engine
from superdyn.training.graph import BatchBuffer, ChunkBuffer

N_STEPS = 12
LINEAR = {"loss": "population", "model__activation": "linear"}


class NothingReadBack(TorchDispatchMode):
    """Fails where an operation would make a GPU's host wait: it reads values, or copies between host and device."""

    waiting = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique2", "lift_fresh")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        indices = [i for i in args[1] if i is not None] if name in ("index", "index_put", "index_put_") else []
        assert name not in self.waiting, name
        assert "device" not in (kwargs or {}) or name != "_to_copy", name
        assert not any(i.dtype == torch.bool for i in indices), f"{name} by a mask"
        return func(*args, **(kwargs or {}))


def parameters(engine):
    return {name: tensor.clone() for name, tensor in engine._state().items()}


def packed(make_config, optimizer, loss, **changes):
    shape = LINEAR if loss == "population" else {}
    options = {"data__batch_size": 64, "optimizer__schedule": "cosine", "trainer__precision": "64-true",
               "trainer__compile": False}  # fmt: skip
    return [make_config(seed=s, optimizer__name=optimizer, **shape, **options | changes) for s in range(3)]


UNEVEN = (0, 8, 9, N_STEPS)


def replayed(configs, device="cpu", bounds=UNEVEN):
    """The state after the steps of uneven chunks."""
    engine = Engine(configs).to(device)
    draws = DeviceDraws(configs, engine.rates.dtype).to(device)
    engine.prepare()
    for first, last in pairwise(bounds):
        points = None if configs[0].loss == "population" else draws.points(first, last - first)
        with torch.no_grad(), matmul_operands(configs[0].trainer.matmul):
            engine._replay(first, last - first, points)
    return {name: tensor.cpu() for name, tensor in parameters(engine).items()}


def stepped(configs, n_steps=N_STEPS):
    """The same on the CPU, with the host's data."""
    engine = Engine(configs)
    engine.prepare()
    draws = FeatureDataModule(configs, [0, n_steps]).stream.draws
    with matmul_operands(configs[0].trainer.matmul):
        engine.run(0, n_steps, None if configs[0].loss == "population" else draws.batches(0, n_steps))
    return parameters(engine)


def assert_close(found, expected, **tolerance):
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], **tolerance, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(
    ("loss", "optimizer", "batch_size"),
    [(loss, optimizer, 64) for loss in ("sampled", "population") for optimizer in ("sgd", "adam", "muon")]
    + [("sampled", "sgd", 32), ("sampled", "sgd", 100)],
)
def test_replays_train_every_step_on_its_own_data(loss, optimizer, batch_size, make_config, monkeypatch):
    monkeypatch.setattr(engine_module, "CapturedStep", Uncaptured)
    configs = packed(make_config, optimizer, loss, data__batch_size=batch_size)
    assert_close(replayed(configs), stepped(configs), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    "changes",
    [{}, {"data__n_features": 150}, {"data__n_features": 150, "data__density": 40.0, "data__data_exponent": 0.1,
                                     "data__clip": True}],
    ids=["dense", "sparse", "with a head"],
)  # fmt: skip
def test_replays_train_on_batches_that_the_host_draws(changes, make_config, monkeypatch):
    monkeypatch.setattr(engine_module, "CapturedStep", Uncaptured)
    configs = packed(make_config, "adam", "sampled", data__sampler="dense", **changes)
    engine = Engine(configs)
    engine.prepare()
    # Written out as for another device.
    batches = FeatureDataModule(configs, [0, N_STEPS]).stream.draws.batches(0, N_STEPS).to(torch.device("meta"))
    assert BatchBuffer.holds(batches)
    batches = FeatureDataModule(configs, [0, N_STEPS]).stream.draws.batches(0, N_STEPS)
    with torch.no_grad():
        for step in range(N_STEPS):
            batch = batches.step(step)
            assert isinstance(batch, SparseBatch)
            engine._replay(step, 1, batch)
    assert_close(parameters(engine), stepped(configs), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"data__sampler": "dense"}, "data.sampler=dense"), ({}, None), ({"data__batch_size": 33}, None),
     ({"data__n_features": 1, "model__width": 1, "data__clip": True}, "every sample has all features")],
)  # fmt: skip
def test_a_user_hears_once_why_the_host_draws(changes, reason, make_config, monkeypatch, recwarn):
    monkeypatch.setattr(DenseBatches, "to", lambda batches, device: batches)
    configs = [make_config(**changes)]
    chunk = Chunk(0, 4, FeatureDataModule(configs, [0, 4]).stream.draws)
    batches = ChunkBatches(configs)
    for _ in range(2):
        list(batches.parts(chunk, torch.device("cuda")))
    said = [str(warning.message) for warning in recwarn if "CPU draws" in str(warning.message)]
    assert len(said) == (reason is not None)
    assert reason is None or reason in said[0]


def test_a_training_shorter_than_the_warm_up_is_captured(make_config, monkeypatch):
    monkeypatch.setattr(engine_module, "CapturedStep", Uncaptured)
    configs = packed(make_config, "adam", "sampled", trainer__max_steps=1)
    assert_close(replayed(configs, bounds=(0, 1)), stepped(configs, 1), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "normalized", "adam", "adamw", "muon"])
@pytest.mark.parametrize("loss", ["sampled", "population"])
def test_no_step_and_no_draw_asks_the_device(loss, optimizer, make_config):
    configs = packed(make_config, optimizer, loss, trainer__max_steps=4)
    engine, draws = Engine(configs), DeviceDraws(configs, torch.float64)
    engine.prepare()
    engine._counter = torch.zeros(1, dtype=torch.int64)
    if loss == "sampled":
        first = torch.tensor(0)
        with NothingReadBack():
            points = draws.points(first, 4)
        engine._buffer = ChunkBuffer(points, (3, 64, 32))
    engine.objective.settle(engine.student, exact=loss == "population")
    with NothingReadBack(), torch.no_grad():
        engine._device_step()
    assert int(engine._counter) == 1


COMPILED = """
import torch
from superdyn.config import RunConfig
from superdyn.features.datamodule import FeatureDataModule
from superdyn.features.device_draws import DeviceDraws
from superdyn.training import engine as engine_module
from superdyn.training.engine import Engine
from torch._dynamo.testing import CompileCounter

class Uncaptured:
    def __init__(self, step, state):
        self.step = step
    def replay(self, n_steps):
        for _ in range(n_steps):
            self.step()

counter, real = CompileCounter(), torch.compile
compiled = lambda function, dynamic: real(function, dynamic=dynamic, fullgraph=True, backend=counter)
engine_module.CapturedStep, engine_module.torch.compile = Uncaptured, compiled
for change in ({"optimizer": {"name": "adam", "lr": 0.1}}, {"loss": "population"}, {}):
    model = {"name": "student", "width": 16, "activation": "linear" if "loss" in change else "relu"}
    model |= {"train_encoder": "loss" not in change}
    data = {"n_features": 32, "data_exponent": 1.5, "importance_exponent": 0.5, "batch_size": 64, "eval_size": 256}
    mapping = {"data": data, "model": model, "optimizer": {"name": "sgd", "lr": 0.1}, "trainer": {"max_steps": 9}}
    configs = [RunConfig.from_mapping(mapping | change | {"seed": s}) for s in range(2)]
    engine, draws = Engine(configs), compiled(DeviceDraws(configs, torch.float32).points, False)
    engine.prepare()
    by_host = FeatureDataModule(configs, [0, 9]).stream.draws.batches(0, 9)
    for first in (0, 4):
        if change:
            engine._replay(first, 4, None if "loss" in change else draws(torch.tensor(first), 4))
        else:
            engine._replay(first, 1, by_host.step(first))
    print(counter.frame_count, end=" ")
    counter.frame_count = 0
    torch.compiler.reset()
"""


def test_a_step_and_a_draw_are_one_graph_each_compiled_once():
    # In a process of its own: the compiler cannot trace the tests' checks of shapes.
    found = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True, check=False)
    assert found.stdout.split() == ["2", "1", "1"], found.stderr


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("loss", ["sampled", "population"])
def test_a_graph_replays_the_steps_of_the_cpu(loss, optimizer, compiled, make_config):
    configs = packed(make_config, optimizer, loss, trainer__compile=compiled)
    assert_close(replayed(configs, "cuda"), stepped(configs), rtol=1e-8, atol=1e-11)


@pytest.mark.gpu
@pytest.mark.parametrize(("rounding", "tolerance"), [("tf32", 1e-3), ("bf16", 1e-2)])
def test_rounded_products_are_those_of_the_cpu(rounding, tolerance, make_config):
    changes = {"trainer__precision": "32-true", "trainer__compile": True, "trainer__matmul": rounding}
    configs = packed(make_config, "sgd", "sampled", **changes)
    assert_close(replayed(configs, "cuda"), stepped(configs), rtol=tolerance, atol=tolerance)
