"""Exact moments against Monte Carlo, and the top eigenvalue against a dense solver."""

import numpy as np
import pytest
from reference import second_moment_matrix

from superdyn.features.generator import Stream
from superdyn.features.moments import data_moments, top_eigenvalue
from superdyn.features.sampler import DenseSampler
from superdyn.features.values import VALUE_LAWS

SIGMAS = 4.5


@pytest.mark.parametrize("law", VALUE_LAWS)
def test_second_moment_matrix_is_that_of_sampled_data(data_config, law):
    data = data_config(n_features=6, value_law=law, batch_size=1000, density=1.2)
    x = DenseSampler(data, seed=3).draw(Stream.TRAIN, 0, 100, dtype=np.float64).reshape(-1, 6)
    products = x[:, :, None] * x[:, None, :]
    error = products.std(axis=0) / np.sqrt(len(x))
    exact = second_moment_matrix(data_moments(data))
    assert np.abs((products.mean(axis=0) - exact) / error).max() < SIGMAS


@pytest.mark.parametrize("law", VALUE_LAWS)
@pytest.mark.parametrize("exponent", [0.0, 1.1, 2.0])
@pytest.mark.parametrize("n_features", [1, 2, 64, 512])
def test_top_eigenvalue_is_that_of_the_dense_matrix(data_config, law, exponent, n_features):
    moments = data_moments(data_config(n_features=n_features, data_exponent=exponent, value_law=law))
    dense = np.linalg.eigvalsh(second_moment_matrix(moments))[-1]
    assert top_eigenvalue(moments.variance, moments.mean) == pytest.approx(dense, rel=1e-12)


@pytest.mark.parametrize(
    ("variance", "mean"),
    [
        ([5.0, 1.0], [0.0, 1.0]),
        ([5.0, 1.0], [0.0, 3.0]),
        ([0.0, 0.0, 0.0], [1.0, 2.0, 2.0]),
        ([0.0, 0.0], [0.0, 0.0]),
        ([1.0, 1.0], [1e-160, 0.5]),
    ],
)
def test_top_eigenvalue_of_degenerate_matrices(variance, mean):
    diagonal, column = np.array(variance), np.array(mean)
    dense = np.linalg.eigvalsh(np.diag(diagonal) + np.outer(column, column))[-1]
    assert top_eigenvalue(diagonal, column) == pytest.approx(dense, rel=1e-12, abs=1e-15)


def test_a_feature_that_is_always_one_has_no_variance(data_config):
    moments = data_moments(data_config(density=50.0, value_law="constant"))
    assert moments.variance[0] == 0.0
    assert moments.mean[0] == 1.0
