"""Curves that are no clean power law: a sensible number, or NaN and a sentence."""

import numpy as np
import pytest

from superdyn.analysis import compare_models, fit_power_law
from superdyn.analysis.curve import read_curve

T = np.geomspace(10, 1e4, 150)
NOISE = np.exp(0.02 * np.random.default_rng(0).standard_normal(T.size))
SLOW = 0.3 + (T + 50) ** -0.33


def spoiled(loss: np.ndarray, index: int, factor: float) -> np.ndarray:
    loss = loss.copy()
    loss[index] *= factor
    return loss


@pytest.mark.parametrize("index", [0, 100, 149])
@pytest.mark.parametrize("factor", [1e-30, 1e-3, 0.05, 20.0, 1e4])
def test_one_outlier_does_not_move_the_exponent(index, factor):
    """The end of a slow decay says most about its exponent: a point less there may move it by its own uncertainty."""
    fit = fit_power_law(T, spoiled(1 / T * NOISE, index, factor), n_boot=20)
    assert fit.alpha == pytest.approx(1, abs=0.004)
    assert fit.alpha_ci[0] <= 1 <= fit.alpha_ci[1]
    clean = fit_power_law(T, SLOW * NOISE, n_boot=2)
    slow = fit_power_law(T, spoiled(SLOW * NOISE, index, factor), n_boot=2)
    assert slow.alpha == pytest.approx(clean.alpha, abs=0.08)
    assert slow.L_inf == pytest.approx(clean.L_inf, abs=0.02)


def test_points_far_off_are_dropped_and_said_to_be_but_none_after_a_long_gap():
    fit = fit_power_law(T, spoiled(1 / T, 100, 1e-12), n_boot=2)
    assert fit.method["dropped_points"] == 1
    assert fit.alpha_long == pytest.approx(1, abs=1e-6)
    assert "a thousand times off their neighbours were dropped: 1" in fit.note
    t = np.append(np.geomspace(1, 3, 20), 1e4)
    assert read_curve(t, 1 / t).n_dropped == 0


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (T**0.3 * NOISE, "the loss does not fall over the window"),
        (NOISE, "no decay stands out of the noise"),
        (T**-60.0, "steeper than a power law"),
        (np.full(T.size, 1e-320), "0 of 0 usable points"),
    ],
)
def test_what_does_not_fall_or_falls_too_steeply_has_no_exponent(loss, reason):
    fit = fit_power_law(T, loss, n_boot=2)
    assert np.isnan([fit.alpha, fit.alpha_long]).all()
    assert reason in fit.note


def test_a_loss_that_rises_again_is_fitted_before_that_and_said_to_rise():
    fit = fit_power_law(np.r_[0, T], np.r_[1, (10 / T + 1e-6 * T**1.5) * NOISE], n_boot=20)
    assert fit.alpha_ci[0] <= 1 <= fit.alpha_ci[1]
    assert "the loss rises again from t =" in fit.note
    assert "rises" not in fit_power_law(T, SLOW * NOISE, n_boot=2).note


def test_an_exponent_at_the_lower_bound_is_said_to_be_there():
    fit = fit_power_law(T, T**-1e-4 * NOISE**0.05, n_boot=2)
    assert fit.alpha == pytest.approx(0.01, abs=1e-6)
    assert "the loss hardly falls" in fit.note


@pytest.mark.parametrize("unit", [1e-300, 1e-30, 1e30, 1e290])
def test_units_of_loss_and_time_do_not_matter(unit):
    plain = fit_power_law(T, SLOW * NOISE, n_boot=5)
    scaled = fit_power_law(T * 1e-6, SLOW * NOISE * unit, n_boot=5)
    assert scaled.alpha == pytest.approx(plain.alpha, rel=1e-4)
    assert scaled.L_inf == pytest.approx(plain.L_inf * unit, rel=1e-4)


def test_oscillations_and_rows_repeated_after_a_resume_leave_the_exponent():
    edge = 10 / T * np.exp(0.5 * (-1.0) ** np.arange(T.size))
    assert fit_power_law(np.r_[0, T], np.r_[1, edge], n_boot=2).alpha == pytest.approx(1, abs=0.02)
    again = slice(50, 100)
    fit = fit_power_law(np.r_[T, T[again]], np.r_[NOISE / T, NOISE[again] / T[again]], n_boot=2)
    assert fit.n_points == T.size
    assert fit.alpha == pytest.approx(1, abs=0.004)


def test_two_decays_have_the_late_exponent_in_their_interval_and_show_in_the_spread_over_windows():
    loss = T**-0.3 / (1 + (T / 500) ** 2) ** 0.4 * NOISE
    fit = fit_power_law(T, loss)
    assert fit.alpha_ci[0] <= 1.1 <= fit.alpha_ci[1]
    assert not fit.flat or fit.flat_window[0] > 500
    assert compare_models(T, loss)["model"][0] == "one break"


@pytest.mark.parametrize("t", [np.r_[1, np.geomspace(500, 1000, 20)], np.r_[np.geomspace(1, 4, 20), 1e4]])
def test_models_are_compared_across_a_wide_gap_in_time(t):
    assert np.isfinite(compare_models(t, 1 / t)["aicc"]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"least": np.nan}, "least=nan; allowed: a finite loss"),
        ({"least": 1.0, "error": T[:3]}, r"error has shape \(3,"),
    ],
)
def test_a_wrong_least_loss_or_error_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        fit_power_law(T, 1 + 1 / T, **change)


def test_a_fall_of_decades_between_plateaus_has_an_exponent_however_badly_a_power_law_fits():
    t = np.geomspace(1, 2e5, 140)
    steps = 1e-6 + 0.93 * np.exp(-t / 2) + 0.068 * np.exp(-t / 300) + 1e-3 / (1 + t / 100) * np.exp(-t / 1e5)
    slow = 1.5e-5 + 0.3 / np.sqrt(1 + t / 2) * np.exp(-t / 2e4)
    for loss in (steps, slow):
        assert 0.5 < fit_power_law(np.r_[0, t], np.r_[1.0, loss]).alpha_long < 1.5
