"""The autoregressive noise model: its likelihood against dense algebra, its bias, and intervals of weighted sums."""

import numpy as np
import pytest
from scipy.linalg import toeplitz
from scipy.stats import t as student

from superdyn.analysis.noise import CORRELATIONS, Noise, noise_of

X = np.linspace(-1, 1, 40)
DESIGN = np.stack([np.ones(40), X, X**2], axis=1)


def series(rho: float, n: int, rng: np.random.Generator) -> np.ndarray:
    white = rng.standard_normal(n)
    noise = white / np.sqrt(1 - rho**2)
    for i in range(1, n):
        noise[i] = rho * noise[i - 1] + white[i]
    return noise


def fitted(noise: np.ndarray, design: np.ndarray) -> Noise:
    return noise_of(noise - design @ np.linalg.lstsq(design, noise, rcond=None)[0], design)


def test_the_posterior_is_the_restricted_likelihood_of_dense_matrices_times_jeffreys_prior():
    noise = series(0.7, 40, np.random.default_rng(0))
    found, score, variance = fitted(noise, DESIGN), [], []
    for rho in CORRELATIONS:
        inverse = np.linalg.inv(toeplitz(rho ** np.arange(40)) / (1 - rho**2))
        normal = DESIGN.T @ inverse @ DESIGN
        rest = noise - DESIGN @ np.linalg.solve(normal, DESIGN.T @ inverse @ noise)
        variance.append(rest @ inverse @ rest / 37)
        determinants = np.linalg.slogdet(inverse)[1] - np.linalg.slogdet(normal)[1]
        score.append(0.5 * determinants - 18.5 * np.log(variance[-1]) - 0.5 * np.log(1 - rho**2))
    wanted = np.exp(np.array(score) - np.max(score)) * np.gradient(CORRELATIONS)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-8)
    np.testing.assert_allclose(found.probability, wanted / wanted.sum(), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("rho", [0.0, 0.8])
def test_the_correlation_is_found_although_the_fit_took_some_of_it_out(rho):
    rng = np.random.default_rng(1)
    x = np.linspace(-1, 1, 150)
    design = np.stack([x**k for k in range(5)], axis=1)
    found = [fitted(series(rho, 150, rng), design).correlation for _ in range(40)]
    assert np.mean(found) == pytest.approx(rho, abs=0.05)


def test_a_weighted_sum_has_the_spread_of_its_draws_and_of_student_where_the_noise_is_white():
    noise = fitted(series(0.6, 40, np.random.default_rng(2)), DESIGN)
    drawn = noise.draw(40, 20000, np.random.default_rng(0)) @ X
    assert noise.half_width(X) == pytest.approx(np.quantile(np.abs(drawn), 0.95), rel=0.05)
    none = int(np.argmin(np.abs(CORRELATIONS)))
    white = Noise(np.eye(CORRELATIONS.size)[none], noise.variance, 37)
    sigma = np.sqrt(noise.variance[none] * (X @ X))
    assert white.half_width(X) == pytest.approx(student.ppf(0.975, 37) * sigma, rel=1e-6)


def test_residuals_of_zero_and_parameters_without_effect_are_no_obstacle():
    assert noise_of(np.zeros(40), DESIGN).half_width(X) < 1e-100
    idle = np.column_stack([DESIGN, np.zeros(40), DESIGN[:, 1]])
    assert noise_of(X**3, idle).freedom == 37
