"""Kernels for a GPU against autograd: on the CPU by Triton's interpreter where Triton is installed, and on a GPU."""

import copy
import json
from itertools import product as combinations

import pytest
import torch
from models.interpreted import NEEDS_TRITON, interpreted
from torch._subclasses.fake_tensor import FakeTensorMode

from superdyn.features.batches import SparseBatch, StepPoints
from superdyn.features.device_draws import DeviceDraws
from superdyn.models import fused_chain, masked_residual, point_products
from superdyn.models.protocol import build_student
from superdyn.models.risk import sampled_loss
from superdyn.models.student import Student
from superdyn.training.graph import ChunkBuffer

SWITCHES = list(combinations(("identity", "gaussian"), (True, False), (True, False), ("linear", "relu"), (True, False)))
SHAPE = {"data__batch_size": 128, "data__n_features": 150, "data__density": 3.0}

INTERPRETED = """
import sys
import torch
from superdyn.features.device_draws import DeviceDraws
from superdyn.config import RunConfig
from superdyn.models.point_products import add_points_gradient, encode_points, subtract_targets
from superdyn.models.masked_residual import masked_residual

torch.manual_seed(0)
CASES = ((3, 100, 150, True, True), (2, 64, 128, True, False), (2, 70, 300, False, True))
for runs, samples, n, rectified, biased in CASES:
    z, c, a = torch.randn(runs, samples, n), torch.randn(runs, n), torch.rand(runs, n)
    x = torch.randn(runs, samples, n) * (torch.rand(runs, samples, n) < 0.1)
    delta, bias_parts, energy_parts = masked_residual(z, c if biased else None, a, x, rectified)
    before = z + c[:, None] if biased else z
    residual = (before.relu() if rectified else before) - a[:, None] * x
    expected = residual * (before > 0) if rectified else residual
    torch.testing.assert_close(delta, expected, rtol=0, atol=0)
    torch.testing.assert_close(bias_parts.sum(0), expected.sum(1), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(energy_parts.sum((0, 2)), residual.square().sum((1, 2)), rtol=1e-5, atol=0)
z[0, 3, 2], z[1, 2, 3] = torch.nan, torch.inf
delta, _, energy_parts = masked_residual(z, None, a, x, True)
assert delta[0, 3, 2].isnan() and not energy_parts.sum((0, 2)).isfinite().any()

def drawn(n, density, samples):
    data = {"n_features": n, "batch_size": samples, "eval_size": 256, "density": density, "data_exponent": 1.5,
            "importance_exponent": 0.5}
    model = {"name": "student", "width": 1, "activation": "relu"}
    mapping = {"data": data, "model": model, "optimizer": {"name": "sgd", "lr": 0.1}, "trainer": {"max_steps": 9}}
    configs = [RunConfig.from_mapping(mapping | {"seed": seed}) for seed in range(3)]
    return DeviceDraws(configs, torch.float32).points(4, 3)

def among_others(width, n):
    return torch.randn(3, width * n + 5)[:, 5:].view(3, width, n)  # a parameter's part of the flat ones

for n, width, density, samples in ((45, 40, 3.0, 128), (7, 1, 0.05, 32), (1, 33, 0.5, 100), (19, 5, 3.0, 100)):
    points = drawn(n, density, samples)
    for places, values in zip(points.places, points.values):
        x = torch.zeros(3 * samples * n + 1)
        x[places] = values
        x = x[:-1].view(3, samples, n)
        weight, hidden, gradient = among_others(width, n), torch.randn(3, samples, width), among_others(width, n)
        torch.testing.assert_close(encode_points(places, values, weight, samples), x @ weight.mT, rtol=1e-5, atol=1e-5)
        expected = gradient + hidden.mT @ x
        add_points_gradient(places, values, hidden, gradient)
        torch.testing.assert_close(gradient, expected, rtol=1e-5, atol=1e-4)
        for rectified, broken in ((True, 0.0), (False, 0.0), (True, torch.nan), (False, torch.inf)):
            z, c, a = torch.randn(3, samples, n), torch.randn(3, n), torch.rand(3, n)
            z[1] += broken
            expected, bias_parts, energy_parts = masked_residual(z, c, a, x, rectified)
            delta, d_bias, energy = masked_residual(z, c, a, None, rectified)
            d_bias, energy = d_bias.sum(0), energy.sum((0, 2))
            subtract_targets(places, values, a, delta, d_bias, energy, rectified)
            sound = [0, 1, 2] if broken == 0 else [0, 2]
            assert energy.isfinite().tolist() == [r in sound for r in range(3)]
            torch.testing.assert_close(delta[sound], expected[sound], rtol=0, atol=1e-6)
            torch.testing.assert_close(d_bias[sound], bias_parts.sum(0)[sound], rtol=1e-5, atol=1e-4)
            torch.testing.assert_close(energy[sound], energy_parts.sum((0, 2))[sound], rtol=1e-5, atol=1e-4)
print("all equal")
"""


TRAINED = """
import json, sys
import torch
from superdyn.config import RunConfig
from superdyn.features.datamodule import FeatureDataModule
from superdyn.features.device_draws import DeviceDraws
from superdyn.models import fused_chain, masked_residual, point_products
from superdyn.training import engine as engine_module
from training.uncaptured import Uncaptured

def begun():
    engine = engine_module.Engine(configs)
    engine.prepare()
    return engine

configs = [RunConfig.from_mapping(mapping) for mapping in json.loads(sys.argv[1])]
host = begun()
initial = {name: tensor.clone() for name, tensor in host._state().items()}
host.run(0, 6, FeatureDataModule(configs, [0, 6]).stream.draws.batches(0, 6))
engine_module.CapturedStep, began = Uncaptured, []
fused_chain.serves = lambda *_: False
masked_residual.serves = lambda output: True
point_products.serves = lambda batch, weight: began.append(batch.points) or batch.points is not None
device = begun()
with torch.no_grad():
    device._replay(0, 6, DeviceDraws(configs, torch.float32).points(0, 6))
assert began and all(points is not None for points in began)
assert device.diverged_at.tolist() == host.diverged_at.tolist() == [-1, 1, -1, -1]
for name, tensor in device._state().items():
    torch.testing.assert_close(tensor[[0, 2, 3]], host._state()[name][[0, 2, 3]], rtol=1e-4, atol=1e-6, msg=name)
for name, r in (("encoder", 2), ("bias", 3)):  # parts that a member does not train
    assert torch.equal(device._state()["student/" + name][r], initial["student/" + name][r])
    assert not torch.equal(device._state()["student/" + name][0], initial["student/" + name][0])
print("all equal")
"""


@NEEDS_TRITON
def test_interpreted_kernels_compute_what_torch_does():
    assert interpreted(INTERPRETED) == "all equal"


@NEEDS_TRITON
@pytest.mark.parametrize(("tied", "batch_size"), [(True, 64), (False, 64), (True, 32), (True, 100)])
def test_a_pack_trained_by_interpreted_kernels_trains_as_on_the_host(tied, batch_size, make_config):
    shape = {"data__batch_size": batch_size, "data__n_features": 45, "model__width": 20, "model__tied": tied,
             "model__activation": "relu", "model__core_init_scale": 0.3, "trainer__compile": False}  # fmt: skip
    own = [{}, {"optimizer__lr": 1e25}, {"model__train_encoder": False}, {"model__bias": False}]
    configs = [
        make_config(seed=s, **{"model__train_encoder": True, "model__bias": True, **shape, **changes})
        for s, changes in enumerate(own)
    ]
    assert interpreted(TRAINED, json.dumps([config.to_mapping() for config in configs])) == "all equal"


def test_arrays_whose_places_exceed_32_bits_are_left_to_torch(monkeypatch):
    monkeypatch.setattr(point_products, "AVAILABLE", True)
    with FakeTensorMode(), torch.no_grad():
        places, values = torch.empty(1, 9, dtype=torch.int64, device="cuda"), torch.empty(1, 9, device="cuda")
        points = StepPoints(places, values, torch.empty(1, dtype=torch.int64, device="cuda"))
        batch = SparseBatch((1, 64, 2**20), None, None, points=points)
        weights = [torch.empty(1, width, 2**20, device="cuda") for width in (1, 2047, 2048)]
        assert [point_products.serves(batch, weight) for weight in weights] == [True, True, False]


def on_gpu(configs):
    """A student, its second batch as a GPU draws it, and importances."""
    dtype = torch.float64 if configs[0].trainer.precision == "64-true" else torch.float32
    student = build_student(configs)
    assert isinstance(student, Student)
    generator = torch.Generator().manual_seed(0)
    for parameter in student.parameters():
        parameter.data.normal_(std=0.3, generator=generator)
    points = DeviceDraws(configs, dtype).to("cuda").points(0, 2)
    data = configs[0].data
    buffer = ChunkBuffer(points, (len(configs), data.batch_size, data.n_features))
    buffer.refill(points)
    buffer.batch()
    importance = torch.rand(len(configs), data.n_features, generator=generator, dtype=dtype)
    return student.cuda(), buffer.batch(), importance.cuda()


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("n_features", "precision", "batch_size"),
    [(150, "32-true", 128), (150, "64-true", 128), (100, "32-true", 128), (150, "32-true", 100), (100, "32-true", 32)],
)
@pytest.mark.parametrize(("init", "trained", "tied", "activation", "bias"), SWITCHES)
def test_gradients_on_a_gpu_are_those_of_autograd(
    init, trained, tied, activation, bias, n_features, precision, batch_size, make_config
):
    switches = {"model__encoder_init": init, "model__train_encoder": trained, "model__tied": tied,
                "model__activation": activation, "model__bias": bias, "trainer__precision": precision}  # fmt: skip
    width, shape = n_features if init == "identity" else 37, SHAPE | {"data__n_features": n_features}
    shape |= {"data__batch_size": batch_size}
    student, batch, importance = on_gpu(
        [make_config(seed=s, model__width=width, **switches, **shape) for s in range(3)]
    )
    with torch.no_grad():
        fused = fused_chain.serves(student.weights(), batch)
        assert fused == (n_features == 100 and init != "identity")
        assert masked_residual.serves(importance)
        assert point_products.serves(batch, importance[:, None]) == (precision == "32-true")
    found = student.sampled_gradients(batch, importance)
    exact, x = copy.deepcopy(student).double(), batch.dense().double()
    loss = sampled_loss(exact(x), x, importance.double())
    trained_parts = {n: p for n, p in exact.named_parameters() if p.requires_grad}
    gradients = torch.autograd.grad(loss.sum(), list(trained_parts.values()))
    tolerance = 1e-5 if precision == "32-true" else 1e-11
    torch.testing.assert_close(found.loss.double(), loss.detach(), rtol=tolerance, atol=0)
    assert found.by_name.keys() == trained_parts.keys()
    for name, gradient in zip(trained_parts, gradients, strict=True):
        error = (found.by_name[name] - gradient).norm() / gradient.norm()
        assert error < tolerance, name


@pytest.mark.gpu
def test_a_gpu_adds_up_a_gradient_in_one_order_in_deterministic_mode(make_config):
    configs = [make_config(seed=s, model__width=37, **SHAPE) for s in range(3)]
    torch.mm(*torch.ones(2, 16, 16, device="cuda"))  # torch looks for its settings at the first product
    torch.use_deterministic_algorithms(True)
    try:
        student, batch, importance = on_gpu(configs)
        with torch.no_grad():
            assert not point_products.serves(batch, importance[:, None])
        one, other = (student.sampled_gradients(batch, importance).by_name for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    for name, gradient in one.items():
        torch.testing.assert_close(other[name], gradient, rtol=0, atol=0)
