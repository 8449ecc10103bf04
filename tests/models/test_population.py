"""Exact gradients against autograd through the residual form, for every linear student and value law."""

from itertools import product as combinations

import pytest
import torch

from superdyn.models import population as population_module
from superdyn.models.population import FrozenProducts
from superdyn.models.protocol import build_student
from superdyn.models.risk import population_feature_loss
from superdyn.training.objective import Objective

SWITCHES = list(
    combinations(("identity", "gaussian"), (True, False), (True, False), ("trained", "identity"), (True, False))
)
LAWS = ["uniform", "constant", "half_normal", "signed"]


def problem(make_config, **changes):
    configs = [
        make_config(
            seed=s, loss="population", model__activation="linear", trainer__precision="64-true",
            data__data_exponent=1.0 + s / 2, **changes,
        )
        for s in range(3)
    ]  # fmt: skip
    student = build_student(configs)
    generator = torch.Generator().manual_seed(0)
    for parameter in student.parameters():
        parameter.data.normal_(std=0.4, generator=generator)
    return student, Objective(configs)


def by_autograd(student, population):
    loss = population_feature_loss(student.linear_map(), student.offset(), population).sum(dim=1)
    trained = {n: p for n, p in student.named_parameters() if p.requires_grad}
    return loss.detach(), dict(zip(trained, torch.autograd.grad(loss.sum(), list(trained.values())), strict=True))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("init", "trained", "tied", "core", "bias"), SWITCHES)
def test_exact_gradients_are_those_of_the_risk(init, trained, tied, core, bias, law, make_config):
    if core == "identity" and not trained and not bias:
        pytest.skip("nothing would train")
    student, objective = problem(
        make_config, model__encoder_init=init, model__train_encoder=trained, model__tied=tied, model__core=core,
        model__bias=bias, data__value_law=law, model__width=32 if init == "identity" else 9,
    )  # fmt: skip
    loss, expected = by_autograd(student, objective.population)
    for found in (objective.gradients(student, None), student.population_gradients(objective.population)):
        torch.testing.assert_close(found.loss, loss, rtol=1e-10, atol=1e-12)
        assert found.by_name.keys() == expected.keys()
        for name, gradient in expected.items():
            torch.testing.assert_close(found.by_name[name], gradient, rtol=1e-9, atol=1e-12)


def test_a_frozen_embedding_takes_two_small_products(make_config):
    student, objective = problem(make_config, model__train_encoder=False, model__width=9)
    objective.gradients(student, None)
    assert isinstance(objective._frozen_products, FrozenProducts)
    assert objective._frozen_products.m.shape == (3, 9, 9)


@pytest.mark.parametrize("bias", [True, False])
def test_tiles_do_not_change_the_feature_loss(bias, make_config, monkeypatch):
    student, objective = problem(make_config, model__bias=bias, model__width=9)
    whole = student.population_feature_loss(objective.population)
    direct = population_feature_loss(student.linear_map(), student.offset(), objective.population).detach()
    torch.testing.assert_close(whole, direct, rtol=1e-12, atol=0.0)
    monkeypatch.setattr(population_module, "_TILE_BYTES", 32 * 8 * 5)
    torch.testing.assert_close(student.population_feature_loss(objective.population), direct, rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("loss", ["population", "sampled"])
def test_gradients_without_a_residual_are_as_accurate_in_float32_as_those_with_it(loss, make_config):
    """Close to the solution, L/L(0) ~ 1e-7: the Gram form of the gradient loses no more than the residual form."""
    changes = {"loss": loss, "model__activation": "linear", "model__width": 8, "data__value_law": "signed"}
    errors = {}
    for form in ("gram", "residual"):
        gradients = {}
        for precision in ("64-true", "32-true"):
            config = make_config(trainer__precision=precision, **changes)
            student, objective = build_student([config]), Objective([config])
            with torch.no_grad():
                left = torch.linalg.qr(torch.randn(32, 8, dtype=torch.float64, generator=seeded(1)))[0]
                student.encoder.copy_(left.T[None])
                target = left.T @ torch.diag(objective.importance[0].double()) @ left
                noise = torch.randn(8, 8, dtype=torch.float64, generator=seeded(2))
                student.core.copy_((target + 3e-4 * noise)[None])
            batch = None if loss == "population" else batch_of(config)
            if form == "gram":
                gradients[precision] = objective.gradients(student, batch).by_name["core"].double()  # pyright: ignore[reportArgumentType]
            else:
                value = objective.loss(student, batch)  # pyright: ignore[reportArgumentType]
                gradients[precision] = torch.autograd.grad(value.sum(), [student.get_parameter("core")])[0].double()
        difference = gradients["32-true"] - gradients["64-true"]
        errors[form] = float(difference.norm() / gradients["64-true"].norm())
    assert errors["gram"] < 3 * errors["residual"] + 1e-6, errors


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def batch_of(config):
    from superdyn.features.datamodule import FeatureDataModule

    return FeatureDataModule([config], [0, 1]).stream.draws.batches(0, 1).step(0)
