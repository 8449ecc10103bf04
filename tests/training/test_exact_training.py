"""Trained runs against exact theory: the spectral sum without superposition, the sampled mean against the risk."""

import numpy as np
import pytest
import torch

from superdyn.features.datamodule import FeatureDataModule
from superdyn.theory import spectral_loss
from superdyn.training.engine import Engine
from superdyn.training.evaluation import Evaluation

NO_SUPERPOSITION = {
    "model__name": "no_superposition",
    "model__width": 32,
    "model__encoder_init": "identity",
    "model__train_encoder": False,
    "model__activation": "linear",
    "model__core_init_scale": 0.0,
    "loss": "population",
    "trainer__precision": "64-true",
}


@pytest.mark.parametrize(("a", "b", "lr"), [(1.5, 1.0, 1.0), (2.0, 0.0, 0.5), (1.2, 0.25, 2.0)])
def test_training_without_superposition_follows_the_spectral_sum_per_feature(a, b, lr, make_config, train_together):
    config = make_config(
        **NO_SUPERPOSITION,
        data__value_law="signed",
        data__data_exponent=a,
        data__importance_exponent=b,
        optimizer__lr=lr,
        trainer__max_steps=3000,
    )
    (folder,) = train_together([config])
    steps, measured = folder.spectrum()
    exact = spectral_loss(
        steps, n_features=32, data_exponent=a, importance_exponent=b, lr=lr, value_second_moment=1.0, per_feature=True
    )
    # The residual R = A − s carries the rounding of s, a few ε A: ℓ = ½ λ R² is known to 1e-5 while R/A > 20 ε/1e-5.
    visible = exact > exact[0] * (20 * np.finfo(np.float64).eps / 1e-5) ** 2
    assert visible.mean() > 0.5
    np.testing.assert_allclose(measured[visible], exact[visible], rtol=1e-5)
    whole = visible.all(axis=1)
    np.testing.assert_allclose(folder.curve()["loss"][whole], exact.sum(axis=1)[whole], rtol=1e-5)


def test_the_mean_sampled_loss_is_the_population_risk(make_config):
    config = make_config(model__activation="linear", model__bias=True, data__importance_exponent=0.3)
    engine = Engine([config])
    batches = FeatureDataModule([config.model_copy(update={"seed": 123})], [0, 4000]).stream.draws.batches
    drawn = batches(0, 4000)
    losses = torch.stack([engine.objective.gradients(engine.student, drawn.step(t)).loss for t in range(4000)])
    exact = float(engine.objective.gradients(engine.student, None).loss)
    z = (losses.mean() - exact) / (losses.std() / len(losses) ** 0.5)
    assert abs(float(z)) < 4


def test_the_evaluation_set_estimates_the_risk_of_a_student_without_an_exact_one(make_config):
    configs = [make_config(seed=s, model__activation="linear", data__eval_size=4096) for s in range(8)]
    engine = Engine(configs)
    population = engine.objective.population
    exact = engine.evaluation.feature_loss(engine.student, population).sum(dim=1)
    estimate = Evaluation(configs, linear=False).feature_loss(engine.student, population).sum(dim=1)
    relative = ((estimate - exact) / exact).numpy()
    assert abs(relative.mean()) < 4 * relative.std(ddof=1) / len(relative) ** 0.5
    assert relative.std() < 0.05
