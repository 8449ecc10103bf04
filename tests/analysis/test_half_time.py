"""Half-times against the exact spectral sum, and the exponent that follows from them."""

import numpy as np
import pytest

from superdyn.analysis import half_time_exponent, half_times
from superdyn.analysis.half_time import settled_half_times
from superdyn.theory import spectral_loss

STEPS = np.unique(np.concatenate([[0], np.logspace(0, 5, 150).round()]))
LAW = {"n_features": 256, "importance_exponent": 0.5, "lr": 0.5, "dynamics": "gradient_flow"}


def test_half_times_of_the_spectral_sum_are_log_two_over_twice_the_rate():
    losses = spectral_loss(STEPS, data_exponent=1.5, per_feature=True, **LAW)
    rank = np.arange(1, 257.0)
    rate = 0.5 * rank**-1.5 / np.sum(rank**-1.5)
    expected = np.log(2) / (2 * rate)
    measured = half_times(STEPS, losses)
    np.testing.assert_allclose(measured[3:], expected[3:], rtol=2e-2)


@pytest.mark.parametrize("a", [1.1, 1.5])
def test_sequential_learning_has_half_time_exponent_a(a):
    losses = spectral_loss(STEPS, data_exponent=a, per_feature=True, **LAW)
    z, (low, high), features = half_time_exponent(half_times(STEPS, losses))
    assert z == pytest.approx(a, abs=0.01)
    assert low <= z <= high
    assert features == (4, 256)


def test_features_that_never_halve_are_nan_and_end_the_range():
    losses = spectral_loss(STEPS[STEPS < 1000], data_exponent=1.5, per_feature=True, **LAW)
    times = half_times(STEPS[STEPS < 1000], losses)
    last = int(np.flatnonzero(np.isfinite(times))[-1]) + 1
    assert np.isnan(times[last:]).all()
    z, _, features = half_time_exponent(times)
    assert features[1] <= 1.3 * last
    assert z == pytest.approx(1.5, abs=0.02)


def test_interpolation_is_linear_from_zero_and_survives_a_loss_of_zero():
    losses = np.array([[1.0, 1.0, 1.0, 0.0], [0.25, 0.9, 0.0, 0.0], [0.2, 0.225, 0.0, 0.0]])
    times = half_times([0, 4, 16], losses)
    assert times[0] == pytest.approx(2.0)
    assert times[1] == pytest.approx(4 * 4 ** (np.log(1.8) / np.log(4)))
    assert 0 < times[2] < 4
    assert np.isnan(times[3])


def test_too_few_halved_features_give_no_exponent():
    z, interval, features = half_time_exponent(np.full(64, np.nan))
    assert np.isnan([z, *interval]).all()
    assert features == (0, 0)


def test_wrong_lengths_and_order_are_refused():
    with pytest.raises(ValueError, match="3 entries and feature_loss 2 rows"):
        half_times([0, 1, 2], np.ones((2, 4)))
    with pytest.raises(ValueError, match="not increasing"):
        half_times([0, 2, 1], np.ones((3, 4)))


def test_ranks_may_be_those_of_bins():
    rank = np.geomspace(1.5, 30_000, 16)
    z, _, ranks = half_time_exponent(3.0 * rank**0.7, rank=rank)
    assert z == pytest.approx(0.7, abs=1e-9)
    assert ranks == (4, 30_000)


def above_floors(rate, start, floor):
    """Exponential decays, one a column, from a start to a floor."""
    return floor + (start - floor) * np.exp(-STEPS[:, None] * rate)


def test_losses_with_floors_of_their_own_halve_above_them():
    rank, floor = np.geomspace(4, 400, 12), np.linspace(1, 4, 12)
    losses = above_floors(rate := 0.1 / rank, 5.0, floor)
    np.testing.assert_allclose(settled_half_times(STEPS, losses), np.log(2) / rate, rtol=0.02)
    assert half_time_exponent(settled_half_times(STEPS, losses), rank=rank).z == pytest.approx(1.0, abs=0.01)
    assert np.isnan(half_times(STEPS, losses)[-1])  # a floor above half of the start is never passed


def test_a_loss_still_on_its_way_or_higher_than_at_first_has_no_half_time():
    left = above_floors(np.log([1.2, 20.0, 1e3]) / STEPS[-1], 1.0, 0.0)
    risen = above_floors(np.array([0.01]), 1.0, 2.0)
    times = settled_half_times(STEPS, np.concatenate([left, risen], axis=1))
    assert np.isnan(times).tolist() == [True, True, False, True]


def test_the_interval_covers_whether_bins_are_few_or_scatter_unequally():
    """Of 200 intervals of 95 %, fewer than 178 cover with a chance of 0.03 %."""
    rng = np.random.default_rng(0)
    for n in (32, 1024):
        ranks = np.arange(1.0, n + 1)
        found = [half_time_exponent(ranks**1.5 * np.exp(0.3 * rng.standard_normal(n))) for _ in range(200)]
        assert sum(low <= 1.5 <= high for _, (low, high), _ in found) >= 178
