"""The model that made a curve is preferred, and predicts the decade it was not shown."""

import numpy as np
import pytest

from superdyn.analysis import compare_models

T = np.geomspace(10, 1e5, 160)
NOISE = np.exp(0.02 * np.random.default_rng(0).standard_normal(T.size))


@pytest.mark.parametrize(
    ("truth", "loss"),
    [
        ("power", T**-0.8),
        ("power+t0", 1 / (T + 60)),
        ("power+floor", 3e-4 + 1 / T),
        ("power+t0+floor", 2e-4 + 1 / (T + 60)),
        ("one break", T**-0.3 / (1 + (T / 1e3) ** 2) ** 0.4),
    ],
)
def test_the_true_model_is_within_reach_of_the_best(truth, loss):
    table = compare_models(T, loss * NOISE)
    row = table["model"].tolist().index(truth)
    assert table["delta_aicc"].tolist()[row] < 5
    assert table["rms"].tolist()[row] == pytest.approx(0.02, rel=0.2)


def test_stretched_exponential_is_recognised():
    loss = 1e-3 + np.exp(-((T / 200) ** 0.4))
    table = compare_models(T, loss * NOISE)
    assert table.loc[0, "model"] == "stretched exponential"


def test_held_out_decade_punishes_a_missing_floor():
    held_out = compare_models(T, (1e-4 + 1 / T) * NOISE).set_index("model")["held_out_rms"].to_dict()
    assert held_out["power+floor"] < 0.5 * held_out["power"]


def test_a_theory_without_parameters_wins_where_it_is_true():
    table = compare_models(T, (2e-4 + 1 / (T + 60)) * NOISE, theory=lambda t: 2e-4 + 1 / (t + 60))
    assert table.iloc[0][["model", "n_parameters"]].tolist() == ["theory", 0]


def test_too_short_a_curve_is_refused():
    with pytest.raises(ValueError, match="5 points are left"):
        compare_models(T[:5], 1 / T[:5])
