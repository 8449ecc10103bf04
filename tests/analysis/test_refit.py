"""The batched optimizer against scipy's, fit by fit, and the model's derivatives against differences."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from superdyn.analysis.polish import polish_form
from superdyn.analysis.power_law import FORMS, Scales, free_mask, log_model, residuals
from superdyn.analysis.refit import refit_many

T = np.geomspace(10, 1e4, 60)


def noisy(seed: int, sigma: float = 0.05) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (1e-4 + 1.0 / (T + 30.0)) * np.exp(sigma * rng.standard_normal(T.size))


@pytest.mark.parametrize("form", FORMS)
def test_many_fits_at_once_reach_what_scipy_reaches_one_by_one(form):
    curves = np.array([noisy(seed) for seed in range(6)])
    scales, free = Scales.of(T, curves[0]), free_mask(form)
    start = polish_form(T, curves[0], np.ones(T.size), form).x
    _, cost = refit_many(T, np.log(curves), np.ones_like(curves), np.tile(start, (6, 1)), form, scales, 0.1)
    for row, curve in enumerate(curves):

        def misfit(part, curve=curve):
            x = np.zeros(4)
            x[free] = part
            return residuals(T, np.log(curve), np.ones(T.size), x, scales)[0]

        bounds = scales.bounds(form)
        inside = np.clip(start[free], bounds[0] + 1e-9, bounds[1] - 1e-9)
        slow = least_squares(misfit, inside, bounds=bounds, loss="soft_l1", f_scale=0.1, xtol=1e-12, ftol=1e-12)
        assert cost[row] <= slow.cost * (1 + 1e-4)


def test_weight_zero_removes_a_point():
    loss = noisy(0)
    spoiled = loss.copy()
    spoiled[5] *= 100
    weight = np.ones(T.size)
    weight[5] = 0
    scales = Scales.of(T, loss)
    start = polish_form(T, loss, np.ones(T.size), "power+t0").x[None]
    args = (weight[None], start, "power+t0", scales, 0.1)
    clean, _ = refit_many(T, np.log(loss)[None], *args)
    masked, _ = refit_many(T, np.log(spoiled)[None], *args)
    np.testing.assert_allclose(clean, masked, rtol=1e-9)


def test_derivatives_of_the_model_match_differences():
    scales = Scales.of(T, noisy(0))
    x = np.array([[0.8, 1.2, 0.4, 0.3]])
    _, slopes = log_model(T, x, scales)
    for i, step in enumerate(1e-6 * np.eye(4)):
        above, below = log_model(T, x + step, scales)[0], log_model(T, x - step, scales)[0]
        np.testing.assert_allclose(slopes[0, :, i], (above - below)[0] / 2e-6, rtol=1e-5, atol=1e-9)


def test_coordinates_and_parameters_are_inverse():
    scales = Scales.of(T, noisy(0))
    wanted = (0.7, 25.0, 3e-5, 2.0)
    np.testing.assert_allclose(scales.parameters(scales.coordinates(*wanted)), wanted, rtol=1e-12)
