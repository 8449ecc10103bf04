"""Where the window rule cuts: plateau, closing bend, floor."""

import numpy as np
import pytest

from superdyn.analysis.curve import read_curve
from superdyn.analysis.window import bend_start, floor_start, plateau_end

T = np.geomspace(1, 1e4, 120)


def with_start(loss: np.ndarray, initial: float = 1.0):
    return read_curve(np.r_[0, T], np.r_[initial, loss])


def test_plateau_ends_where_the_loss_has_halved():
    start, remark = plateau_end(with_start(1 / (1 + T / 100)))
    assert T[start - 1] <= 100 < T[start]
    assert remark == ""


def test_a_loss_that_never_halves_starts_half_way_down():
    start, remark = plateau_end(with_start(0.8 + 0.2 / (1 + T / 100)))
    assert T[start] == pytest.approx(100, rel=0.1)
    assert "never falls to half" in remark


@pytest.mark.parametrize("sigma", [0.0, 0.02, 0.1])
def test_power_laws_with_shift_or_floor_have_no_bend(sigma):
    rng = np.random.default_rng(0)
    for shape in (1 / T, (T + 10) ** -0.5, 1e-3 + 1 / (T + 3), 0.3 + (T + 50) ** -0.33):
        for _ in range(10):
            noisy = shape * np.exp(sigma * rng.standard_normal(T.size))
            # The plateau of a shifted law steepens too; it ends before the curve does.
            assert bend_start(read_curve(T, noisy)) > 0.8 * T.size


@pytest.mark.parametrize(("rate", "rounding"), [(0.004, 1e-30), (0.02, 1e-30), (0.02, 1e-14)])
def test_an_exponential_end_is_found_before_the_floor_of_rounding(rate, rounding):
    noise = 1 + 0.3 * np.random.default_rng(0).standard_normal(T.size)
    bent = np.exp(-rate * T) / T + rounding * noise
    stop = bend_start(read_curve(T, bent))
    assert stop < T.size
    assert 0.05 / rate < T[stop] < 5 / rate


def test_a_power_law_down_to_the_size_of_rounding_has_no_bend():
    assert bend_start(read_curve(T, 1e-3 * T**-3.0)) == T.size
    assert bend_start(read_curve(T, 1e-30 + T**-4.0)) == T.size


@pytest.mark.parametrize("sigma", [0.0, 0.02])
def test_an_exponential_end_is_found(sigma):
    noise = np.exp(sigma * np.random.default_rng(0).standard_normal(T.size))
    start = bend_start(read_curve(T, T**-1.0 * np.exp(-T / 2000) * noise))
    assert 200 < T[start] < 4000


def test_floor_starts_where_the_averaged_excess_is_within_five_errors():
    excess = 1 / T
    start = floor_start(T, excess, excess + 0.1, 0.05)
    points = 0.4 * (T.size - 1) / 4
    drowned = excess < 5 * 0.05 * (excess + 0.1) / np.sqrt(points)
    assert start == int(np.argmax(drowned)) < T.size
    assert floor_start(T, excess, excess, 0.05) == T.size
