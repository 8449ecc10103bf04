"""The closed-form non-negative least squares and the grid against scipy, one problem at a time."""

import numpy as np
import pytest
from scipy.optimize import nnls

from superdyn.analysis.power_law import FORMS
from superdyn.analysis.projection import nnls_two, project


def test_two_variable_nnls_equals_scipy_everywhere_on_a_grid():
    rng = np.random.default_rng(0)
    first = rng.uniform(0.1, 2, 40)
    second = rng.uniform(0.1, 2, (60, 40))
    # Targets that put the minimum inside, on either axis, and at parallel columns.
    second[:3] = first * np.array([[1.0], [0.5], [3.0]])
    for target in (first + second[5], second[9] - 0.5 * first, first - 0.8 * second[9]):
        u, v, misfit = nnls_two(first, second, target)
        for i, column in enumerate(second):
            expected, norm = nnls(np.stack([first, column], axis=1), target)
            assert misfit[i] == pytest.approx(norm**2, rel=1e-9, abs=1e-12)
            if i >= 3:
                np.testing.assert_allclose([u[i], v[i]], expected, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_projection_starts_close_to_the_truth(form):
    _, with_t0, with_floor, _ = FORMS[form]
    t, t0, floor = np.geomspace(10, 1e4, 80), 40.0 * with_t0, 1e-3 * with_floor
    alpha, found_t0, found_floor, scale = project(t, floor + 2 * (t + t0) ** -0.8, np.ones(80), form)
    assert alpha == pytest.approx(0.8, rel=0.15)
    assert found_t0 == pytest.approx(t0, rel=0.6)
    assert found_floor == pytest.approx(floor, rel=0.6)
    assert scale == pytest.approx(2, rel=0.6)


def test_projection_does_not_depend_on_the_units():
    t, loss = np.geomspace(1, 1e3, 50), 1e-3 + np.geomspace(1, 1e3, 50) ** -0.7
    plain = project(t, loss, np.ones(50), "power+t0+floor")
    tiny = project(t, 1e-90 * loss, np.ones(50), "power+t0+floor")
    np.testing.assert_allclose(tiny, (*plain[:2], 1e-90 * plain[2], 1e-90 * plain[3]), rtol=1e-9)
