"""The population risk against the trace formula, and why it is not computed by expanding the square."""

import numpy as np
import torch

from superdyn.features.moments import data_moments
from superdyn.models.risk import population_feature_loss


def random_problem(make_config, n=24):
    rng = np.random.default_rng(0)
    moments = data_moments(make_config(data__n_features=n, model__width=12).data)
    importance = np.arange(1, n + 1.0) ** -0.5
    return rng.normal(size=(n, n)), rng.normal(size=n), importance, moments


def test_no_mean_and_no_offset_leave_the_spread_alone(make_config):
    m, _, importance, moments = random_problem(make_config)
    m, teacher, variance = stacked(m, np.diag(importance), moments.variance)
    without = population_feature_loss(m, None, teacher, None, variance)
    torch.testing.assert_close(without, population_feature_loss(m, None, teacher, torch.zeros_like(variance), variance))


def stacked(*arrays, dtype=torch.float64):
    return [torch.from_numpy(np.array(a))[None].to(dtype) for a in arrays]


def test_it_is_half_the_trace_of_the_residual_times_the_second_moment(make_config):
    m, _, importance, moments = random_problem(make_config)
    residual = m - np.diag(importance)
    sigma = moments.second_moment_matrix()
    per_feature = population_feature_loss(
        *stacked(m), None, *stacked(np.diag(importance), moments.mean, moments.variance)
    )
    np.testing.assert_allclose(per_feature[0], 0.5 * np.diag(residual @ sigma @ residual.T), rtol=1e-12)


def test_an_offset_adds_to_the_mean_of_the_residual(make_config):
    m, c, importance, moments = random_problem(make_config)
    residual = m - np.diag(importance)
    shift = residual @ moments.mean + c
    expected = 0.5 * ((residual**2) @ moments.variance + shift**2)
    teacher = np.diag(importance)
    loss = population_feature_loss(*stacked(m, c, teacher, moments.mean, moments.variance))
    np.testing.assert_allclose(loss[0], expected, rtol=1e-12)


def test_the_residual_form_keeps_its_accuracy_in_float32_where_the_expanded_square_cancels(make_config):
    _, _, importance, moments = random_problem(make_config)
    rng = np.random.default_rng(1)
    m = np.diag(importance) + 2e-4 * rng.normal(size=(24, 24))
    parts = (np.diag(importance), moments.mean, moments.variance)
    exact = population_feature_loss(*stacked(m), None, *stacked(*parts)).numpy()
    single = population_feature_loss(*stacked(m, dtype=torch.float32), None, *stacked(*parts, dtype=torch.float32))
    sigma = moments.second_moment_matrix().astype(np.float32)
    m32, a32 = m.astype(np.float32), np.diag(importance).astype(np.float32)
    expanded = 0.5 * np.diag(m32 @ sigma @ m32.T - 2 * a32 @ sigma @ m32.T + a32 @ sigma @ a32)
    assert np.abs(single.numpy() / exact - 1).max() < 1e-3
    assert np.abs(expanded / exact - 1).max() > 0.1
