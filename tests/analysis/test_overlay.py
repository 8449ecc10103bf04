"""Which theory a run gets, and that it is the right curve."""

from typing import Any

import numpy as np
import pytest
from small_transformer import TRANSFORMER

from superdyn.analysis import exact_loss, null_loss, run_result
from superdyn.models.embedding import initial_embedding
from superdyn.theory import frozen_embedding_loss, spectral_loss

STEPS = np.array([0, 1, 10, 100])
EXACT = {
    "loss": "population",
    "data__value_law": "signed",
    "model__width": 32,
    "model__train_encoder": False,
    "model__encoder_init": "identity",
    "model__activation": "linear",
    "model__core_init_scale": 0.0,
}
LAW: dict[str, Any] = {"data_exponent": 1.5, "importance_exponent": 0.5}


def test_exact_run_gets_the_spectral_sum_step_by_step(make_config):
    theory = exact_loss(make_config(**EXACT).flat(), STEPS, 0.1 * STEPS)
    assert theory is not None
    assert theory.exact
    np.testing.assert_allclose(theory.loss, spectral_loss(STEPS, n_features=32, lr=0.1, **LAW))


def test_scheduled_run_gets_gradient_flow_at_the_lr_time_and_says_so(make_config):
    config = make_config(**EXACT, optimizer__schedule="cosine").flat()
    theory = exact_loss(config, STEPS, [0, 0.1, 1, 3], per_feature=True)
    assert theory is not None
    assert not theory.exact
    assert "lr-time" in theory.label
    flow = spectral_loss([0, 0.1, 1, 3], n_features=32, lr=1.0, dynamics="gradient_flow", per_feature=True, **LAW)
    np.testing.assert_allclose(theory.loss, flow)


@pytest.mark.parametrize(
    ("change", "doubt"), [({"data__value_law": "uniform"}, "mean"), ({"loss": "sampled"}, "sampled")]
)
def test_values_with_a_mean_and_sampled_gradients_are_only_approximated(make_config, change, doubt):
    theory = exact_loss(make_config(**(EXACT | change)).flat(), STEPS, 0.1 * STEPS)
    assert theory is not None
    assert not theory.exact
    assert doubt in theory.label


@pytest.mark.parametrize(
    "change",
    [
        {"model__activation": "relu"},
        {"model__train_encoder": True},
        {"model__core_init_scale": 0.1},
        {"model__encoder_init": "orthogonal", "model__tied": False},
        {"optimizer__name": "adam"},
        {"optimizer__momentum": 0.9},
        {"optimizer__weight_decay": 0.1},
    ],
)
def test_other_runs_have_no_exact_curve_but_a_null(make_config, change):
    changed = EXACT | ({"loss": "sampled"} if "model__activation" in change else {}) | change
    config = make_config(**changed).flat()
    assert exact_loss(config, STEPS, 0.1 * STEPS) is None
    null = null_loss(config, STEPS, 0.1 * STEPS)
    assert null is not None
    np.testing.assert_allclose(null.loss, spectral_loss(STEPS, n_features=32, lr=0.1, **LAW))


@pytest.mark.parametrize("change", [{}, {"data__lag": 1}, {"model__decoder__n_layers": 0}])
def test_no_transformer_has_an_exact_curve_and_each_has_the_null_of_its_data(change, make_config):
    config = make_config(**TRANSFORMER | change, data__value_law="signed").flat()
    assert exact_loss(config, STEPS, 0.1 * STEPS) is None
    null = null_loss(config, STEPS, 0.1 * STEPS)
    assert null is not None
    np.testing.assert_allclose(null.loss, spectral_loss(STEPS, n_features=32, lr=0.1, **LAW))


def test_frozen_embedding_gets_its_own_theory_from_the_embedding_of_its_seed(make_config):
    config = make_config(**(EXACT | {"model__width": 16, "model__encoder_init": "gaussian", "seed": 3})).flat()
    theory = exact_loss(config, STEPS, 0.1 * STEPS)
    assert theory is not None
    assert theory.exact
    encoder = initial_embedding(3, "gaussian", 16, 32, "encoder")
    expected = frozen_embedding_loss(STEPS, encoder, lr=0.1, dynamics="gradient_descent", **LAW)
    np.testing.assert_allclose(theory.loss, expected)


def test_a_trained_frozen_embedding_follows_its_theory(make_config, train_together):
    config = make_config(
        **(EXACT | {"model__width": 16, "model__encoder_init": "gaussian", "trainer__precision": "64-true"}),
        trainer__max_steps=500,
    )
    (folder,) = train_together([config])
    assert run_result(folder.path)["exact_deviation"] < 1e-9


def test_null_of_an_unstable_learning_rate_is_gradient_flow(make_config):
    null = null_loss(make_config(optimizer__lr=9.0).flat(), STEPS, 9.0 * STEPS)
    assert null is not None
    assert "gradient flow" in null.label
    assert np.all(np.diff(null.loss) < 0)


def test_a_frozen_embedding_beyond_stability_gets_gradient_flow(make_config):
    frozen = EXACT | {"model__width": 16, "model__encoder_init": "gaussian", "loss": "sampled"}
    labels = []
    for lr in (0.1, 9.0):
        theory = exact_loss(make_config(**frozen, optimizer__lr=lr).flat(), STEPS, lr * STEPS)
        assert theory is not None
        assert np.all(np.diff(theory.loss) < 0)
        labels.append(theory.label.split(", ")[1])
    assert labels == ["gradient descent", "gradient flow at the lr-time"]
