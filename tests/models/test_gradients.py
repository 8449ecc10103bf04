"""The written-out gradients against autograd on the dense batch, for every student, head, tile and path."""

from itertools import product as combinations

import numpy as np
import pytest
import torch

from superdyn.features import batching
from superdyn.features.batching import make_batches
from superdyn.features.generator import Stream
from superdyn.features.sampler import make_sampler
from superdyn.models import chain, decoding, dense_chain, gram
from superdyn.models.protocol import build_student
from superdyn.models.risk import sampled_loss
from superdyn.models.student import Student

SWITCHES = list(
    combinations(("identity", "gaussian"), (True, False), (True, False), ("trained", "identity"), ("linear", "relu"),
                 (True, False))
)  # fmt: skip
MANY_ACTIVE = {"data__density": 10.0, "data__clip": True, "data__data_exponent": 0.3}
LAYOUTS = ["sparse", "head", "dense", "dense, torch"]


@pytest.fixture
def layout(request, monkeypatch):
    """Settings that give the batch this form."""
    if not request.param.startswith("dense"):
        monkeypatch.setattr(batching, "_ALL_DENSE_UP_TO", 0)
        monkeypatch.setattr(batching, "_ALL_DENSE_FROM", 1.1)
    monkeypatch.setattr(dense_chain, "is_faster", lambda *_: request.param == "dense")
    return request.param, MANY_ACTIVE if request.param == "head" else {}


def assert_layout(name, batch):
    assert (batch.head is None) == (name == "sparse")
    assert (batch.cells is None) == name.startswith("dense")


def students_and_batches(make_config, n_steps=3, **changes):
    configs = [make_config(seed=s, trainer__precision="64-true", **changes) for s in range(3)]
    student = build_student(configs)
    generator = torch.Generator().manual_seed(0)
    for parameter in student.parameters():
        parameter.data.normal_(std=0.4, generator=generator)
    data = configs[0].data
    points = [make_sampler(c.data, c.seed).step_points(Stream.TRAIN, 5, n_steps) for c in configs]
    batches = make_batches(points, n_steps, data.batch_size, data, "float64")
    importance = torch.rand(3, data.n_features, generator=generator, dtype=torch.float64)
    return student, batches, importance


def assert_gradients_agree(student, batches, importance):
    for t in range(len(batches)):
        batch = batches.step(t)
        found = student.sampled_gradients(batch, importance)
        x = batch.dense()
        loss = sampled_loss(student(x), x, importance)
        trained = {n: p for n, p in student.named_parameters() if p.requires_grad}
        expected = dict(zip(trained, torch.autograd.grad(loss.sum(), list(trained.values())), strict=True))
        assert found.by_name.keys() == expected.keys()
        torch.testing.assert_close(found.loss, loss.detach(), rtol=1e-10, atol=1e-12)
        for name, gradient in expected.items():
            torch.testing.assert_close(found.by_name[name], gradient, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS, indirect=True)
@pytest.mark.parametrize(("init", "trained", "tied", "core", "activation", "bias"), SWITCHES)
def test_the_gradients_are_those_of_autograd(init, trained, tied, core, activation, bias, layout, make_config):
    if core == "identity" and not trained and not bias:
        pytest.skip("nothing would train")
    switches = {"model__encoder_init": init, "model__train_encoder": trained, "model__tied": tied, "model__core": core,
                "model__activation": activation, "model__bias": bias}  # fmt: skip
    width = 32 if init == "identity" else 7
    student, batches, importance = students_and_batches(make_config, model__width=width, **switches, **layout[1])
    assert_layout(layout[0], batches.step(0))
    assert_gradients_agree(student, batches, importance)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("layout", ["sparse", "head"], indirect=True)
def test_tiles_do_not_change_the_gradients(activation, bias, layout, make_config, monkeypatch):
    monkeypatch.setattr(decoding, "_TILE_BYTES", 1)
    monkeypatch.setattr(decoding, "_TILE_MULTIPLE", 16)
    monkeypatch.setattr(chain, "is_cheaper", lambda *_: False)
    student, batches, importance = students_and_batches(
        make_config, model__bias=bias, model__activation=activation, **layout[1]
    )
    assert_layout(layout[0], batches.step(0))
    assert_gradients_agree(student, batches, importance)


def test_a_small_width_takes_the_gram_form_and_a_large_one_the_residual(make_config):
    narrow, batches, _ = students_and_batches(make_config, model__activation="linear", model__width=4)
    wide, _, _ = students_and_batches(make_config, model__activation="linear", model__width=31)
    for student, expected in ((narrow, True), (wide, False)):
        assert isinstance(student, Student)
        assert gram.is_cheaper(student.weights(), batches.step(0).shape) is expected


@pytest.mark.parametrize("init", ["identity", "gaussian"])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_gradients_of_a_dense_batch_have_the_same_bits_by_its_points(init, activation, make_config, monkeypatch):
    monkeypatch.setattr(decoding, "_POINTS_FROM", 0)
    monkeypatch.setattr(dense_chain, "is_faster", lambda *_: False)
    switches = {"model__encoder_init": init, "model__activation": activation, "model__bias": True}
    width = 32 if init == "identity" else 7
    student, batches, importance = students_and_batches(make_config, model__width=width, **switches, **MANY_ACTIVE)
    assert isinstance(student, Student)
    for t in range(len(batches)):
        by_points = batches.step(t)
        assert by_points.head_points is not None
        assert len(np.unique(by_points.head_points.places)) < len(by_points.head_points.places)  # cells occur twice
        by_passes = by_points._replace(head_points=None)
        found, expected = (student.sampled_gradients(batch, importance) for batch in (by_points, by_passes))
        assert torch.equal(found.loss, expected.loss)
        assert all(torch.equal(gradient, expected.by_name[name]) for name, gradient in found.by_name.items())
