"""The closed forms against oracle values, brute-force descent and small simulations. Axis: `t` time, `n` feature."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from superdyn.features.probabilities import feature_probabilities
from superdyn.theory import (
    decade_slopes,
    frozen_embedding_loss,
    frozen_embedding_rate,
    random_overlap,
    rich_exponent,
    sequential_exponent,
    spectral_loss,
    welch_bound,
)

EXACT = json.loads((Path(__file__).parent / "data" / "exact.json").read_text())
LAW = ("n_features", "data_exponent", "importance_exponent", "density", "lr")


def law_of(case: dict) -> dict[str, Any]:
    """Keyword arguments of `spectral_loss` for one oracle case."""
    return {key: case[key] for key in LAW} | {"value_second_moment": case["second_moment_of_active_value"]}


@pytest.mark.parametrize("case", EXACT["no_superposition"], ids=lambda case: f"N{case['n_features']}")
@pytest.mark.parametrize("dynamics", ["gradient_flow", "gradient_descent"])
def test_spectral_sum_agrees_with_direct_summation(case, dynamics):
    loss = spectral_loss(case["steps"], **law_of(case), dynamics=dynamics)
    np.testing.assert_allclose(loss, case[dynamics], rtol=1e-6)


@pytest.mark.parametrize("case", EXACT["no_superposition"], ids=lambda case: f"N{case['n_features']}")
def test_per_feature_losses_agree_with_the_oracle_and_sum_to_the_loss(case):
    losses = spectral_loss(case["steps"], **law_of(case), per_feature=True)
    for feature, expected in case["per_feature_gradient_descent"].items():
        np.testing.assert_allclose(losses[:, int(feature) - 1], expected, rtol=1e-6)
    np.testing.assert_allclose(losses.sum(axis=1), spectral_loss(case["steps"], **law_of(case)), rtol=1e-12)


@pytest.mark.parametrize("case", EXACT["frozen_embedding_linear"], ids=lambda case: f"a{case['data_exponent']}")
def test_frozen_embedding_agrees_with_ode_integration(case):
    law = {key: value for key, value in law_of(case).items() if key != "n_features"}
    loss = frozen_embedding_loss(case["times"], np.array(case["encoder"]), **law)
    np.testing.assert_allclose(loss, case["loss"], rtol=1e-5)


def test_frozen_identity_embedding_is_the_spectral_sum_down_to_tiny_losses():
    law: dict[str, Any] = {"data_exponent": 1.5, "importance_exponent": 0.5, "lr": 1.0}
    times = np.array([0.0, 1.0, 100.0, 1e4])
    expected = spectral_loss(times, n_features=24, dynamics="gradient_flow", **law)
    np.testing.assert_allclose(frozen_embedding_loss(times, np.eye(24), **law), expected, rtol=1e-9, atol=1e-28)


def test_descent_of_a_frozen_embedding_is_stable_up_to_two_over_the_rate_of_its_fastest_mode():
    encoder = np.random.default_rng(0).standard_normal((5, 8))
    law: dict[str, Any] = {"data_exponent": 1.2, "importance_exponent": 0.3, "dynamics": "gradient_descent"}
    largest = 2 / frozen_embedding_rate(encoder, feature_probabilities(8, 1.2))
    loss = frozen_embedding_loss([0, 1, 1e6], encoder, lr=0.999 * largest, **law)
    assert loss[0] > loss[1] > loss[2]
    with pytest.raises(ValueError, match="needs less than 2"):
        frozen_embedding_loss([0], encoder, lr=1.001 * largest, **law)


def test_rank_deficient_embedding_has_a_finite_floor():
    encoder = np.ones((3, 6)) / np.sqrt(6)
    loss = frozen_embedding_loss([0.0, 1.0, 1e9], encoder, data_exponent=1.0, importance_exponent=0.0, lr=1.0)
    assert np.all(np.isfinite(loss))
    assert loss[0] > loss[1] > loss[2] > 0


def test_gradient_descent_is_the_step_by_step_recursion():
    law = {"n_features": 8, "data_exponent": 1.2, "importance_exponent": 0.3, "lr": 1.9, "density": 2.0}
    rank = np.arange(1, 9.0)
    rate = np.minimum(1, 2.0 * rank**-1.2 / np.sum(rank**-1.2))
    student, losses = np.zeros(8), []
    for _ in range(30):
        losses.append(0.5 * np.sum(rate * (rank**-0.3 - student) ** 2))
        student += 1.9 * rate * (rank**-0.3 - student)
    np.testing.assert_allclose(spectral_loss(range(30), **law), losses, rtol=1e-10)


def test_a_rate_of_exactly_one_learns_in_one_step():
    loss = spectral_loss([0, 1, 2], n_features=1, data_exponent=1, importance_exponent=0, lr=1)
    np.testing.assert_array_equal(loss, [0.5, 0.0, 0.0])


def test_tiny_rates_keep_their_precision():
    law = {"n_features": 4, "data_exponent": 1.0, "importance_exponent": 0.0}
    slow = spectral_loss([1e13], lr=1e-13, **law)
    fast = spectral_loss([1.0], lr=1.0, dynamics="gradient_flow", **law)
    np.testing.assert_allclose(slow, fast, rtol=1e-12)


def test_frozen_embedding_under_gradient_descent_is_iterated_descent():
    rng = np.random.default_rng(0)
    encoder = rng.standard_normal((5, 9)) / 3
    law: dict[str, Any] = {"data_exponent": 1.2, "importance_exponent": 0.5}
    moment = feature_probabilities(9, 1.2, 1.0)
    teacher = np.diag(np.arange(1, 10.0) ** -0.5)
    core, losses = np.zeros((5, 5)), []
    for _ in range(30):
        residual = encoder.T @ core @ encoder - teacher
        losses.append(0.5 * np.sum(residual**2 * moment))
        core -= 0.7 * encoder @ (residual * moment) @ encoder.T
    loss = frozen_embedding_loss(np.arange(30), encoder, lr=0.7, dynamics="gradient_descent", **law)
    np.testing.assert_allclose(loss, losses, rtol=1e-10)


def test_unstable_learning_rate_is_refused():
    law = {"n_features": 2, "data_exponent": 1.0, "importance_exponent": 0.0}
    with pytest.raises(ValueError, match=r"lr times the largest eigenvalue is 2\.66"):
        spectral_loss([1], lr=4.0, **law)


@pytest.mark.parametrize(
    ("a", "b", "slopes"),
    [
        (1.1, 0, (0.38, 0.91, 4.37)),
        (1.5, 0, (0.39, 0.48, 0.83)),
        (1.5, 1, (1.67, 1.67, 1.75)),
        (2, 0, (0.50, 0.51, 0.55)),
        (2, 1, (1.50, 1.50, 1.50)),
    ],
)
def test_finite_n_table(a, b, slopes):
    measured = decade_slopes(n_features=1024, data_exponent=a, importance_exponent=b)
    np.testing.assert_array_equal(np.round(measured, 2), slopes)


@pytest.mark.parametrize(("a", "b"), [(2, 0), (2, 0.25), (1.5, 1)])
def test_many_features_show_the_sequential_exponent(a, b):
    (slope,) = decade_slopes(n_features=200_000, data_exponent=a, importance_exponent=b, first_decade=3, n_decades=1)
    assert slope == pytest.approx(sequential_exponent(a, b), abs=0.01)


@pytest.mark.parametrize(("a", "b"), [(1.5, 1.0), (2.0, 1.0), (2.0, 0.0), (1.2, 0.5)])
def test_two_trained_layers_show_the_rich_exponent(a, b):
    """Channels s = u², du/dτ = λ u (A − u²) from s(0) = A/10, stepped explicitly with a growing step."""
    rank = np.arange(1.0, 20_001.0)
    rate, target = rank**-a, rank**-b
    u, times, losses = np.sqrt(0.1 * target), [0.0], []
    while times[-1] < 3e5:
        losses.append(0.5 * np.sum(rate * (target - u**2) ** 2))
        step = 0.01 * (1.0 + times[-1])
        # Exact solution of the logistic equation over the step, channel by channel.
        growth = np.exp(-2.0 * rate * target * step)
        u = np.sqrt(target / (1.0 + (target / u**2 - 1.0) * growth))
        times.append(times[-1] + step)
    time, loss = np.array(times[:-1]), np.array(losses)
    span = (time > 1e2) & (time < 1e3) if b == 0 else (time > 1e3) & (time < 1e5)
    slope = -np.polyfit(np.log(time[span]), np.log(loss[span]), 1)[0]
    assert slope == pytest.approx(rich_exponent(a, b), abs=0.02)


def test_exponents_agree_with_the_special_cases():
    assert sequential_exponent(1.5, 0.5) == pytest.approx(1.0)
    assert rich_exponent(1.3, 1) == pytest.approx(1.0)
    assert rich_exponent(2, 0) == sequential_exponent(2, 0) == pytest.approx(0.5)


@pytest.mark.parametrize("exponent", [sequential_exponent, rich_exponent])
@pytest.mark.parametrize(("a", "b"), [(0.5, 0.25), (1.0, 0.0), (0, 1)])
def test_exponents_that_do_not_exist_are_refused(exponent, a, b):
    with pytest.raises(ValueError, match=r"data_exponent=.* allowed: data_exponent"):
        exponent(a, b)


def test_welch_bound_is_reached_by_the_simplex_and_exceeded_by_random_vectors():
    assert welch_bound(3, 2) == pytest.approx(0.5)
    assert welch_bound(4, 4) == 0
    assert round(welch_bound(1024, 512), 4) == 0.0313
    vectors = np.random.default_rng(0).standard_normal((200, 50))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = (vectors @ vectors.T)[np.triu_indices(200, 1)]
    assert np.abs(cosines).max() > welch_bound(200, 50)
    assert np.mean(cosines**2) == pytest.approx(random_overlap(50), rel=0.05)
