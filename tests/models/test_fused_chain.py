"""A small student's gradients from one kernel, by Triton's interpreter where it is installed; which students it takes.

On a GPU `test_gpu_kernels.py` compares it with autograd.
"""

import json

import pytest
import torch
from models.interpreted import NEEDS_TRITON, interpreted
from torch._subclasses.fake_tensor import FakeTensorMode

from superdyn.features.batches import SparseBatch
from superdyn.models import fused_chain
from superdyn.models.product import matmul_operands
from superdyn.models.weights import Weights

INTERPRETED = """
from itertools import product
import torch
from superdyn.features.batches import SparseBatch, StepPoints
from superdyn.features.last_of_cell import last_by_comparing, last_of_cell
from superdyn.features.sampler import groups_touched
from superdyn.models import fused_chain
from superdyn.models.chain import sampled_gradients
from superdyn.models.weights import Weights

torch.manual_seed(0)
torch.use_deterministic_algorithms(True)  # fresh memory is filled with what is not a number

def matrix(n, k):
    return torch.randn(2, k * n + 5)[:, 5:].view(2, k, n) / k**0.5  # a parameter's part of the flat ones

def points_of(x, offset):  # of a batch that begins so many samples after its first group
    (runs, samples, n), unused = x.shape, x.numel()
    places = torch.full((2, runs, groups_touched(samples), 64 * n), unused)
    values = torch.zeros(places.shape)
    for slot, (r, s, i) in enumerate(x.nonzero().flip(0).tolist()):
        where = 1, r, (offset + s) // 64, slot % (64 * n)
        places[where], values[where] = (r * samples + s) * n + i, x[r, s, i]
    return StepPoints(places.flatten(1), values.flatten(1), torch.ones(1, dtype=torch.int64))

for (samples, n, k, offsets), core, tied, bias, rectified, trains in product(
    ((100, 45, 20, (0, 60)), (64, 16, 33, (0,)), (32, 7, 5, (32,))), *[(True, False)] * 5
):
    trained = {"encoder": trains, "decoder": trains and not tied, "core": core, "bias": bias}
    weights = Weights(
        matrix(n, k), None if tied else matrix(n, k), matrix(k, k) if core else None,
        torch.randn(2, n) if bias else None, rectified, [name for name, there in trained.items() if there],
    )
    x, importance = torch.randn(2, samples, n) * (torch.rand(2, samples, n) < 0.1), torch.rand(2, n)
    by_points = [SparseBatch(x.shape, None, None, points=points_of(x, offset)) for offset in offsets]
    batches = [SparseBatch(x.shape, x, None), *by_points]
    nothing = torch.zeros(2, 0)
    undrawn = SparseBatch(x.shape, None, None, points=StepPoints(nothing.long(), nothing, torch.ones(1).long()))
    assert fused_chain.chain_gradients(weights, undrawn, importance).loss.isfinite().all()
    expected = sampled_gradients(weights, batches[0], importance)
    for batch in batches:
        found = fused_chain.chain_gradients(weights, batch, importance)
        torch.testing.assert_close(found.loss, expected.loss, rtol=2e-6, atol=0)
        assert found.by_name.keys() == expected.by_name.keys()
        for name, gradient in expected.by_name.items():
            assert (found.by_name[name] - gradient).norm() <= 2e-6 * gradient.norm(), name

for n_groups, n_points, n_cells in ((5, 7, 4), (9, 90, 60), (3, 300, 1000)):
    cells, counts = torch.randint(0, n_cells, (2, n_groups, n_points)), torch.randint(0, n_points + 1, (2, n_groups))
    assert torch.equal(last_by_comparing(cells.int(), counts), last_of_cell(cells, counts, n_cells))
print("all equal")
"""

TRAINED = """
import json, sys
import torch
from superdyn.config import RunConfig
from superdyn.features.datamodule import FeatureDataModule
from superdyn.features.device_draws import DeviceDraws
from superdyn.models import fused_chain
from superdyn.training import engine as engine_module
from training.uncaptured import Uncaptured

configs = [RunConfig.from_mapping(mapping) for mapping in json.loads(sys.argv[1])]
host, device = engine_module.Engine(configs), engine_module.Engine(configs)
for engine in (host, device):
    engine.prepare()
host.run(0, 6, FeatureDataModule(configs, [0, 6]).stream.draws.batches(0, 6))
engine_module.CapturedStep = Uncaptured
fused_chain.serves = lambda weights, batch: batch.points is not None
with torch.no_grad():
    device._replay(0, 6, DeviceDraws(configs, torch.float32).points(0, 6))
assert device.diverged_at.tolist() == host.diverged_at.tolist() == [-1, 1, -1, -1]
for name, tensor in device._state().items():
    torch.testing.assert_close(tensor[[0, 2, 3]], host._state()[name][[0, 2, 3]], rtol=1e-4, atol=1e-6, msg=name)
print("all equal")
"""


@NEEDS_TRITON
def test_the_interpreted_kernel_computes_what_torch_does():
    assert interpreted(INTERPRETED) == "all equal"


@NEEDS_TRITON
@pytest.mark.parametrize(("compiled", "batch_size"), [(False, 64), (True, 64), (False, 32), (False, 100)])
def test_a_pack_trained_by_the_interpreted_kernel_trains_as_on_the_host(compiled, batch_size, make_config):
    shape = {"data__batch_size": batch_size, "data__n_features": 45, "model__width": 20, "model__activation": "relu",
             "model__core_init_scale": 0.3, "trainer__compile": compiled}  # fmt: skip
    own = [{}, {"optimizer__lr": 1e25}, {"model__train_encoder": False}, {"model__bias": False}]
    configs = [
        make_config(seed=s, **{"model__train_encoder": True, "model__bias": True, **shape, **changes})
        for s, changes in enumerate(own)
    ]
    assert interpreted(TRAINED, json.dumps([config.to_mapping() for config in configs])) == "all equal"


@pytest.mark.parametrize("capability", [(7, 5), (9, 0)])
def test_the_kernel_takes_small_students_with_an_embedding_in_float32(capability, monkeypatch):
    monkeypatch.setattr(fused_chain, "AVAILABLE", True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: capability)

    def taken(n, k, samples=256, dtype=torch.float32, device="cuda"):
        encoder = torch.empty(64, k, n, dtype=dtype, device=device)
        batch = SparseBatch((64, samples, n), torch.empty(64, samples, n, device=device), None)
        return fused_chain.serves(Weights(encoder, None, None, None, True, ["encoder"]), batch)

    with FakeTensorMode():
        assert taken(128, 64) == (capability == (9, 0))
        if capability == (7, 5):
            return
        assert taken(65, 33)
        assert taken(16, 128)
        assert not taken(128, 65)
        assert not taken(129, 16)
        assert not taken(128, 64, samples=32 * 1024)  # whose parts of gradients would take 2 GiB
        assert not taken(128, 64, dtype=torch.float64)
        assert not taken(128, 64, device="cpu")
        with matmul_operands("tf32"):
            assert not taken(128, 64)
