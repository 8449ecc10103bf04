"""Evaluation sets of sequences: unbiased for what depends on position and company, and rare features are there."""

import numpy as np
import pytest
from small_transformer import TRANSFORMER

from superdyn.features.evaluation import evaluation_set
from superdyn.features.sequence_evaluation import sequence_evaluation_set

SIGMAS = 4.5
LENGTH, LAG = 5, 2


@pytest.fixture
def config_of(make_config):
    """A transformer's configuration on sequences of `LENGTH` that ask for lag `LAG`, with changes of the data."""

    def make(seed=0, **data):
        changed = {"length": LENGTH, "lag": LAG, "n_features": 8, "data_exponent": 2.0} | data
        return make_config(
            **TRANSFORMER | {f"data__{key}": value for key, value in changed.items()} | {"seed": seed},
            model__width=8,
        )

    return make


def samples(config):
    data = config.data
    x = np.zeros((data.eval_size * data.length, data.n_features))
    points = sequence_evaluation_set(config).points
    x[points.rows, points.features] = points.values
    return x.reshape(data.eval_size, data.length, -1)


def estimate(config):
    """Of E f_i, f depending on the position t, on x_{t−k} and on the rest of the sequence; (n,)."""
    drawn, x = sequence_evaluation_set(config), samples(config)
    target, present = x[:, : LENGTH - LAG], x[:, LAG:]
    position = 1.0 + np.arange(LENGTH - LAG)[None, :, None]
    f = position**2 * (target**2 + 0.1 * target * present.sum(axis=2, keepdims=True) + 0.01)
    return (drawn.weights[:, :, None] * f).sum(axis=(0, 1)) / drawn.n_measured


def test_balanced_sets_estimate_without_bias_what_a_large_plain_set_does(config_of):
    plain = {"eval_sampling": "plain", "eval_size": 2**16}
    references = np.stack([estimate(config_of(seed, **plain)) for seed in range(1000, 1008)])
    small = np.stack([estimate(config_of(seed, eval_size=50)) for seed in range(600)])
    variance = sum(e.var(axis=0, ddof=1) / len(e) for e in (references, small))
    z = (small.mean(axis=0) - references.mean(axis=0)) / np.sqrt(variance)
    assert np.abs(z).max() < SIGMAS, z


@pytest.mark.parametrize("sampling", ["balanced", "plain"])
def test_sequences_of_one_are_the_set_of_single_vectors_to_the_bit(sampling, run_config):
    common = {"eval_size": 300, "eval_sampling": sampling}
    vectors = evaluation_set(run_config(**common))
    sequences = sequence_evaluation_set(run_config(kind="sequences", **common))
    for one, other in zip(vectors.points, sequences.points, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(vectors.weights, sequences.weights[:, 0])
    assert vectors.n_measured == sequences.n_measured


def test_a_plain_set_measures_every_valid_position(config_of):
    drawn = sequence_evaluation_set(config_of(eval_size=64, eval_sampling="plain"))
    np.testing.assert_array_equal(drawn.weights, np.ones((64, LENGTH - LAG)))


def test_rare_features_are_measured_at_every_valid_position(config_of):
    config = config_of(eval_size=1024, data_exponent=6.0)
    drawn, x = sequence_evaluation_set(config), samples(config)
    measured = (drawn.weights > 0)[:, :, None] & (x[:, : LENGTH - LAG] != 0)
    assert (measured[512:].sum(axis=0) >= 512 // 8 // (LENGTH - LAG)).all()
    assert ((drawn.weights[512:] > 0).sum(axis=1) == 1).all()
    assert not measured[:512, :, -1].any()
