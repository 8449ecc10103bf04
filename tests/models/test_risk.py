"""The population risk against the trace formula, and why it is not computed by expanding the square."""

import numpy as np
import torch
from reference import second_moment_matrix

from superdyn.features.moments import data_moments
from superdyn.models.risk import Population, population_feature_loss


def random_problem(make_config, n=24):
    rng = np.random.default_rng(0)
    moments = data_moments(make_config(data__n_features=n, model__width=12).data)
    importance = np.arange(1, n + 1.0) ** -0.5
    return rng.normal(size=(n, n)), rng.normal(size=n), importance, moments


def test_no_mean_and_no_offset_leave_the_spread_alone(make_config):
    m, _, importance, moments = random_problem(make_config)
    m, importance, variance = stacked(m, importance, moments.variance)
    without = population_feature_loss(m, None, Population(importance, None, variance))
    zero = Population(importance, torch.zeros_like(variance), variance)
    torch.testing.assert_close(without, population_feature_loss(m, None, zero))


def stacked(*arrays, dtype=torch.float64):
    return [torch.from_numpy(np.array(a))[None].to(dtype) for a in arrays]


def test_it_is_half_the_trace_of_the_residual_times_the_second_moment(make_config):
    m, _, importance, moments = random_problem(make_config)
    residual = m - np.diag(importance)
    sigma = second_moment_matrix(moments)
    population = Population(*stacked(importance, moments.mean, moments.variance))
    per_feature = population_feature_loss(*stacked(m), None, population)
    np.testing.assert_allclose(per_feature[0], 0.5 * np.diag(residual @ sigma @ residual.T), rtol=1e-12)


def test_an_offset_adds_to_the_mean_of_the_residual(make_config):
    m, c, importance, moments = random_problem(make_config)
    residual = m - np.diag(importance)
    shift = residual @ moments.mean + c
    expected = 0.5 * ((residual**2) @ moments.variance + shift**2)
    population = Population(*stacked(importance, moments.mean, moments.variance))
    loss = population_feature_loss(*stacked(m, c), population)
    np.testing.assert_allclose(loss[0], expected, rtol=1e-12)


def test_the_residual_form_keeps_its_accuracy_in_float32_where_the_expanded_square_cancels(make_config):
    _, _, importance, moments = random_problem(make_config)
    rng = np.random.default_rng(1)
    m = np.diag(importance) + 2e-4 * rng.normal(size=(24, 24))
    parts = (importance, moments.mean, moments.variance)
    exact = population_feature_loss(*stacked(m), None, Population(*stacked(*parts))).numpy()
    population = Population(*stacked(*parts, dtype=torch.float32))
    single = population_feature_loss(*stacked(m, dtype=torch.float32), None, population)
    sigma = second_moment_matrix(moments).astype(np.float32)
    m32, a32 = m.astype(np.float32), np.diag(importance).astype(np.float32)
    expanded = 0.5 * np.diag(m32 @ sigma @ m32.T - 2 * a32 @ sigma @ m32.T + a32 @ sigma @ a32)
    assert np.abs(single.numpy() / exact - 1).max() < 1e-3
    assert np.abs(expanded / exact - 1).max() > 0.1
