"""Dense and sparse samples have the exact distribution: frequencies, moments, pairs, values, independence."""

import numpy as np
import pytest
from scipy.stats import kstest

from superdyn.features.generator import Stream
from superdyn.features.moments import data_moments
from superdyn.features.probabilities import feature_probabilities
from superdyn.features.sampler import make_sampler
from superdyn.features.values import VALUE_LAWS

SIGMAS = 4.5
BATCH, STEPS, N = 1000, 120, 10


def _samples(data_config, kind: str, **changes) -> np.ndarray:
    data = data_config(sampler=kind, n_features=N, batch_size=BATCH, **changes)
    return make_sampler(data, seed=17).draw(Stream.TRAIN, 0, STEPS, dtype=np.float64).reshape(-1, N)


def _z_of_frequencies(active: np.ndarray, p: np.ndarray) -> np.ndarray:
    count = len(active)
    return (active.sum(axis=0) - count * p) / np.sqrt(count * p * (1 - p))


@pytest.fixture(params=["dense", "sparse"])
def kind(request) -> str:
    return request.param


@pytest.mark.parametrize(("exponent", "density"), [(1.5, 1.0), (1.1, 0.1), (0.0, 9.0), (1.0, 2.9)])
def test_features_and_pairs_are_active_as_often_as_they_should_be(data_config, kind, exponent, density):
    active = _samples(data_config, kind, data_exponent=exponent, density=density) != 0
    p = feature_probabilities(N, exponent, density)
    assert np.abs(_z_of_frequencies(active, p)).max() < SIGMAS
    i, j = np.triu_indices(N, k=1)
    frequent = len(active) * p[i] * p[j] > 30
    pairs, expected = (active[:, i] & active[:, j])[:, frequent], (p[i] * p[j])[frequent]
    assert np.abs(_z_of_frequencies(pairs, expected)).max() < SIGMAS


@pytest.mark.parametrize("law", VALUE_LAWS)
def test_first_and_second_moments_are_exact(data_config, kind, law):
    x = _samples(data_config, kind, value_law=law)
    exact = data_moments(data_config(n_features=N, value_law=law))
    for sample, moment in ((x, exact.mean), (x**2, exact.variance + exact.mean**2)):
        error = sample.std(axis=0) / np.sqrt(len(x))
        assert np.abs((sample.mean(axis=0) - moment) / error).max() < SIGMAS


def test_dense_and_sparse_agree_with_each_other(data_config):
    dense, sparse = (_samples(data_config, kind, density=1.3) for kind in ("dense", "sparse"))
    for power in (1, 2):
        difference = (dense**power).mean(axis=0) - (sparse**power).mean(axis=0)
        error = np.sqrt(((dense**power).var(axis=0) + (sparse**power).var(axis=0)) / len(dense))
        assert np.abs(difference / error).max() < SIGMAS


@pytest.mark.parametrize("density", [1.0, 9.9])
def test_values_follow_the_law_also_where_points_collapse(data_config, kind, density):
    x = _samples(data_config, kind, data_exponent=0.0, density=density)
    assert kstest(x[x != 0] / 2, "uniform").pvalue > 1e-5


def test_samples_that_share_a_poisson_count_are_independent(data_config, kind):
    active = _samples(data_config, kind) != 0
    p = feature_probabilities(N, 1.5, 1.0)
    for size in (1, 64):
        totals = active[: len(active) // 64 * 64].reshape(-1, size * N).sum(axis=1)
        expected = size * (p * (1 - p)).sum()
        # The variance of a sample variance is (m4 - σ⁴)/n with m4 the fourth central moment.
        m4 = ((totals - totals.mean()) ** 4).mean()
        error = np.sqrt((m4 - totals.var() ** 2) / len(totals))
        assert abs(totals.var() - expected) / error < SIGMAS


def test_every_place_of_a_batch_is_equally_active(data_config, kind):
    active = _samples(data_config, kind) != 0
    by_place = active.reshape(STEPS, BATCH, N).sum(axis=(0, 2))
    p = feature_probabilities(N, 1.5, 1.0)
    z = (by_place - STEPS * p.sum()) / np.sqrt(STEPS * (p * (1 - p)).sum())
    assert abs((z**2).sum() - BATCH) < SIGMAS * np.sqrt(2.2 * BATCH)


def test_capped_features_are_always_active_with_fresh_values(data_config, kind):
    x = _samples(data_config, kind, data_exponent=2.0, density=4.0)
    p = feature_probabilities(N, 2.0, 4.0)
    certain = p == 1.0
    assert certain.any()
    assert (x[:, certain] != 0).all()
    assert np.abs(_z_of_frequencies(x[:, ~certain] != 0, p[~certain])).max() < SIGMAS
    assert kstest(x[:, 0] / 2, "uniform").pvalue > 1e-5


def test_all_features_capped_gives_a_full_array(data_config, kind):
    x = _samples(data_config, kind, data_exponent=0.0, density=float(N))
    assert (x != 0).all()
    assert kstest(x.ravel() / 2, "uniform").pvalue > 1e-5
