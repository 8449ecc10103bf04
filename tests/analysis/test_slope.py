"""Local slopes against per-window regression, flat stretches, the live exponent, and binning of dense curves."""

import time

import numpy as np
import pytest

from superdyn.analysis import bin_decades, flat_stretch, local_slope, running_exponent

T = np.geomspace(1, 1e4, 160)


def test_local_slope_equals_a_regression_in_every_window():
    loss = (1e-3 + 1 / (T + 20)) * np.exp(0.05 * np.random.default_rng(0).standard_normal(T.size))
    middle, slope = local_slope(T, loss)
    for t, s in zip(middle, slope, strict=True):
        inside = np.abs(np.log10(T / t)) <= 0.2 + 1e-9
        assert s == pytest.approx(-np.polyfit(np.log(T[inside]), np.log(loss[inside]), 1)[0], rel=1e-8)


def test_local_slope_of_a_power_law_is_its_exponent_and_needs_whole_windows():
    middle, slope = local_slope(T, 3 * T**-0.7)
    np.testing.assert_allclose(slope, 0.7, rtol=1e-9)
    assert middle[0] >= 10**0.2 * 0.999
    assert local_slope(T[:4], T[:4])[0].size == 0


def test_flat_stretch_is_the_longest_with_a_small_spread():
    slope = np.where(T < 10, 0.3, np.where(T < 1000, 1.0, 1.5))
    low, high, decades = flat_stretch(T, slope)
    assert (low, high) == (T[T >= 10][0], T[T < 1000][-1])
    assert decades == pytest.approx(2, abs=0.05)


def test_a_plateau_is_not_a_flat_power_law():
    assert flat_stretch(T, np.full(T.size, 0.01))[2] == 0


def test_running_exponent_covers_a_noisy_slope_and_is_quick():
    loss = T**-0.8 * np.exp(0.02 * np.random.default_rng(0).standard_normal(T.size))
    recent, exponent, low, high = running_exponent(T, loss)
    assert low < 0.8 < high
    assert abs(recent - exponent) < 0.1
    begin = time.process_time()
    for _ in range(20):
        running_exponent(T, loss)
    assert (time.process_time() - begin) / 20 < 2e-3


def test_running_exponent_is_nan_before_it_can_be_known():
    assert np.isnan(running_exponent([0, 1, 2], [1, 0.9, 0.8])).all()
    assert np.isnan(running_exponent([], [])).all()


def test_dense_points_are_averaged_and_sparse_ones_untouched():
    dense = np.arange(1.0, 20_001.0)
    rng = np.random.default_rng(0)
    t, loss, error, count = bin_decades(dense, np.exp(0.1 * rng.standard_normal(dense.size)) / dense)
    assert count.sum() == dense.size
    assert t.size < 50 * 4.4
    crowded = count > 100
    pull = (loss * t - 1)[crowded] / (error * t)[crowded]
    assert np.std(pull) == pytest.approx(1, abs=0.25)
    grid = np.geomspace(10, 1e4, 150)
    np.testing.assert_array_equal(bin_decades(grid, 1 / grid)[0], grid)
