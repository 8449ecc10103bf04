"""Fits above a known least loss: the exponent of the excess, its noise, and what is said where it is not known."""

import numpy as np
import pandas as pd
import pytest

from superdyn.analysis import PowerLawFit, compare_models, fit_curve, fit_power_law, fit_table, pool_seeds, window_plane
from superdyn.analysis.excess import drowned_from, known_least, told_excess
from superdyn.runs.folder import RunFolder

LEAST = 1.6
T = np.geomspace(1, 1e4, 120)
TOKENS = 4096


def loss_of(excess, *, initial=4.8, seed=0):
    """A curve whose excess is measured on one draw of tokens, the same at all times, with its standard error."""
    error = np.sqrt(2 * np.r_[initial - LEAST, excess] / TOKENS)
    scatter = np.exp(0.01 * np.random.default_rng(seed).standard_normal(excess.size))
    loss = LEAST + np.r_[initial - LEAST, excess * scatter] - 1.5 * error
    return pd.DataFrame({"step": np.r_[0, T], "loss": loss, "least_loss": LEAST, "excess_error": error})


@pytest.mark.parametrize("alpha", [0.33, 1.0])
def test_the_exponent_of_the_excess_is_found_and_what_remains_is_reported_of_the_loss(alpha):
    excess = 0.05 + 2.0 * T**-alpha
    noisy = LEAST + excess * np.exp(0.01 * np.random.default_rng(1).standard_normal(T.size))
    known, unknown = fit_power_law(T, noisy, least=LEAST), fit_power_law(T, noisy)
    assert known.alpha_ci[0] < alpha < known.alpha_ci[1]
    assert known.alpha == pytest.approx(alpha, abs=0.03)
    assert known.L_inf == pytest.approx(LEAST + 0.05, abs=0.02)
    assert known.alpha_long > 2 * unknown.alpha_long
    assert (known.fitted, known.least_loss, unknown.fitted, unknown.least_loss) == ("L - L_least", LEAST, "L", None)


def test_no_floor_is_below_the_least_loss():
    noise = np.random.default_rng(2).standard_normal((20, T.size))
    fits = [fit_power_law(T, LEAST + 3 / T * np.exp(0.1 * row), least=LEAST, n_boot=2) for row in noise]
    assert min(fit.L_inf for fit in fits) >= LEAST
    assert np.mean([fit.alpha for fit in fits]) == pytest.approx(1, abs=0.02)


def test_an_excess_near_its_own_error_is_outside_of_the_window():
    curve = loss_of(3 / T)
    fit = fit_curve(curve, "step")
    excess = curve["loss"] - LEAST
    told = curve["step"] <= fit.window[1]
    assert (excess[told] > 4 * curve["excess_error"][told]).all()
    assert 10 < fit.window[1] < 1e4 / 3
    assert "on the loss cannot be told from the least one" in fit.note
    assert fit.alpha == pytest.approx(1, abs=0.15)
    drawn = told_excess(curve)
    assert np.isfinite(drawn[told]).all()
    assert np.isnan(drawn[-1])
    without = fit_power_law(curve["step"], curve["loss"], least=LEAST)  # noise of all times alike is not seen
    assert without.window[1] > fit.window[1]


def test_one_low_point_does_not_end_a_curve_whose_error_is_known():
    excess, error = 1 / T, np.full(T.size, 1e-6)
    excess[60] = 1e-6
    assert drowned_from(T, excess, error) == np.inf
    assert drowned_from(T, excess, 1e3 * error) == pytest.approx(1 / 5e-3, rel=0.5)
    assert drowned_from(T, excess, np.full(T.size, np.nan)) == np.inf


def test_without_an_error_the_curve_ends_where_the_loss_first_reaches_the_least_one():
    loss = LEAST + 1 / T
    loss[[70, 90]] = LEAST, LEAST - 0.1
    fit = fit_power_law(T, loss, least=LEAST, n_boot=2)
    assert fit.window[1] == pytest.approx(T[69])
    assert fit.method["dropped_points"] == 2
    assert fit_power_law(T, loss, least=LEAST, n_boot=2, window=(1, 1e5)).window[1] == pytest.approx(T[-1])


def test_a_loss_that_starts_at_the_least_one_is_not_fitted():
    fit = fit_power_law(np.r_[0, T], np.full(121, LEAST), least=LEAST)
    assert np.isnan(fit.alpha)
    assert fit.note.startswith("from t = 1 on the loss cannot be told from the least one")


@pytest.mark.parametrize("column", [None, [np.nan] * 3])
def test_a_least_loss_that_is_absent_or_null_is_not_known(column):
    curve = pd.DataFrame({"step": [0, 1, 2], "loss": [3.0, 2.0, 1.0]})
    curve = curve if column is None else curve.assign(least_loss=column)
    assert known_least(curve) is None
    assert told_excess(curve).tolist() == [3, 2, 1]


def test_results_say_what_was_fitted_and_old_ones_are_of_the_loss():
    fit = fit_power_law(T, LEAST + 1 / T, least=LEAST, n_boot=2)
    content = fit.to_dict()
    assert content["fitted"] == "L - L_least"
    assert "log (L - L_least)" in content["method"]["model"]
    assert PowerLawFit.from_dict(content).to_dict() == content
    del content["fitted"], content["least_loss"]
    assert PowerLawFit.from_dict(content).fitted == "L"


def test_a_table_with_a_least_loss_is_fitted_above_it(tmp_path):
    rows = [loss_of(0.05 + 3 * T**-0.5, seed=seed).assign(seed=seed) for seed in range(2)]
    rows.append(rows[0].assign(seed=2, least_loss=np.nan, excess_error=np.nan))
    pd.concat(rows).to_csv(tmp_path / "curves.csv", index=False)
    frame = fit_table(tmp_path / "curves.csv", n_boot=5)
    assert frame["seed"].tolist() == [0, 1, 2]
    assert frame["fitted"].tolist() == ["L - L_least", "L - L_least", "L"]
    assert frame["alpha"][0] == pytest.approx(fit_curve(rows[0], "step", n_boot=5).alpha)
    rows[0].loc[5, "least_loss"] = 1.7
    rows[0].to_csv(tmp_path / "curves.csv", index=False)
    with pytest.raises(ValueError, match=r"least_loss holds 1\.6, 1\.7; allowed: one number for a curve"):
        fit_table(tmp_path / "curves.csv")


def test_comparisons_and_planes_of_windows_are_of_the_excess_too():
    loss = LEAST + 3 * T**-0.5 * np.exp(0.01 * np.random.default_rng(0).standard_normal(T.size))
    plane = window_plane(T, loss, least=LEAST, n_edges=4)
    assert plane["alpha"].iloc[2] == pytest.approx(0.5, abs=0.05)
    models = compare_models(T, loss, least=LEAST, theory=lambda t: 3 * t**-0.5)
    assert models["model"][0] == "theory"


def test_exponents_of_the_loss_and_of_the_excess_have_no_mean():
    columns = {f"{name}{end}": 1.0 for name in ("alpha", "alpha_long") for end in ("", "_low", "_high")}
    frame = pd.DataFrame([{**columns, "width": 8, "least_loss": LEAST}, {**columns, "width": 8, "least_loss": np.nan}])
    assert np.isnan(pool_seeds(frame, by=["width"])["alpha"][0])
    assert pool_seeds(frame.assign(least_loss=LEAST), by=["width"])["alpha"][0] == 1
    assert pool_seeds(frame.assign(least_loss=np.nan), by=["width"])["alpha"][0] == 1


def test_an_old_run_on_tokens_is_fitted_as_before_and_said_to_be(make_config, train_together):
    from training.token_runs import TOKENS as RUN

    (folder,) = train_together([make_config(**RUN, trainer__max_steps=60, trainer__points_per_decade=30)])
    new, curve = fit_table(folder.path, n_boot=5), folder.curve()
    del curve["least_loss"], curve["excess_error"]
    RunFolder(folder.path).write_curve(curve)
    old, plain = fit_table(folder.path, n_boot=5), fit_power_law(curve["step"], curve["loss"], n_boot=5)
    assert (new["fitted"][0], old["fitted"][0]) == ("L - L_least", "L")
    assert old["note"][0].startswith("the curve has no least_loss: L itself was fitted, with its floor")
    np.testing.assert_equal(old["alpha_long"][0], plain.alpha_long)
