"""The evaluation set: weighted means are unbiased, rare features are there, weights are bounded."""

from itertools import product

import numpy as np
import pytest

from superdyn.features.evaluation import evaluation_set, importance_weights
from superdyn.features.moments import data_moments
from superdyn.features.sampler import Points
from superdyn.features.values import VALUE_LAWS

SIGMAS = 4.5
SIZE = 16384


def samples_and_weights(config):
    drawn = evaluation_set(config)
    x = np.zeros((config.data.eval_size, config.data.n_features))
    x[drawn.points.rows, drawn.points.features] = drawn.points.values
    return x, drawn.weights


def _z(x: np.ndarray, weights: np.ndarray, exact: np.ndarray) -> np.ndarray:
    terms = weights[:, None] * x
    return (terms.mean(axis=0) - exact) / (terms.std(axis=0) / np.sqrt(len(x)))


@pytest.mark.parametrize("law", VALUE_LAWS)
@pytest.mark.parametrize("exponent", [1.1, 3.0])
def test_balanced_means_are_the_exact_moments_of_rare_and_frequent_features(run_config, law, exponent):
    config = run_config(n_features=48, data_exponent=exponent, value_law=law, eval_size=SIZE)
    x, weights = samples_and_weights(config)
    exact = data_moments(config.data)
    assert np.abs(_z(x, weights, exact.mean)).max() < SIGMAS
    assert np.abs(_z(x**2, weights, exact.variance + exact.mean**2)).max() < SIGMAS
    assert np.abs(_z(np.ones((SIZE, 1)), weights, np.ones(1))).max() < SIGMAS


def test_balanced_and_plain_sets_agree_on_the_energy(run_config):
    means, variances = [], []
    for sampling in ("balanced", "plain"):
        x, weights = samples_and_weights(run_config(eval_sampling=sampling, eval_size=SIZE))
        energy = weights * (x**2).sum(axis=1)
        means.append(energy.mean())
        variances.append(energy.var() / SIZE)
    assert abs(means[0] - means[1]) / np.sqrt(sum(variances)) < SIGMAS


def test_features_that_a_plain_set_never_shows_are_measured(run_config):
    rare = {"n_features": 64, "data_exponent": 4.0, "eval_size": 4096}
    plain, _ = samples_and_weights(run_config(eval_sampling="plain", **rare))
    balanced, _ = samples_and_weights(run_config(**rare))
    assert not plain[:, -1].any()
    assert (np.count_nonzero(balanced, axis=0) >= 4096 // 2 // 64).all()


@pytest.mark.parametrize("forced", [[0, 1, 1, 2], [2], [0, 1]])
def test_weights_cancel_the_proposal_exactly(forced):
    p = np.array([0.7, 0.2, 0.01])
    states = np.array(list(product([0, 1], repeat=3)))
    size, probability = len(states), np.where(states == 1, p, 1 - p).prod(axis=1)
    rows, features = np.nonzero(states)
    weights = importance_weights(Points(rows, features, np.ones(len(rows))), np.array(forced), p, size)
    proposal = (size - len(forced)) * probability
    for i in forced:
        proposal = proposal + probability * states[:, i] / p[i]
    np.testing.assert_allclose(weights * proposal / size, probability, rtol=1e-13)


@pytest.mark.parametrize("size", [1, 2, 5, 100, 1000])
def test_weights_are_bounded_by_the_plain_share(run_config, size):
    _, weights = samples_and_weights(run_config(eval_size=size, data_exponent=2.0))
    assert weights.shape == (size,)
    assert (weights > 0).all()
    assert weights.max() <= size / (size - size // 2)


def test_plain_weights_are_one(run_config):
    weights = evaluation_set(run_config(eval_sampling="plain", eval_size=100)).weights
    np.testing.assert_array_equal(weights, np.ones(100))


def test_the_set_is_keyed_by_seed_and_not_by_the_training_sampler(run_config):
    first, _ = samples_and_weights(run_config(eval_size=64))
    same, _ = samples_and_weights(run_config(eval_size=64, sampler="dense", batch_size=8))
    other, _ = samples_and_weights(run_config(top={"seed": 1}, eval_size=64))
    np.testing.assert_array_equal(same, first)
    assert not np.array_equal(other, first)


def test_an_underflowing_probability_has_weight_zero(run_config):
    evaluation = evaluation_set(run_config(data_exponent=400.0, density=0.5, eval_size=64))
    assert np.isfinite(evaluation.weights).all()
    assert evaluation.weights[-1] == 0.0
