"""How often 95 % intervals hold the truth, over many draws of curves of known exponent; the table in docs/numerics.md.

`python -m pytest tests/analysis/test_coverage.py -m slow -s` prints it.
"""

from typing import NamedTuple

import numpy as np
import pytest

from superdyn.analysis import fit_power_law, half_time_exponent
from superdyn.analysis.seeds import seed_interval

pytestmark = pytest.mark.slow
DRAWS = 200


class Case(NamedTuple):
    """L = floor + (t + t0)^-α at log-spaced t = 10…10⁴ with relative noise σ, ρ its correlation between neighbours."""

    alpha: float
    floor: float = 0.0
    t0: float = 0.0
    points: int = 150
    sigma: float = 0.02
    rho: float = 0.0
    least: float = 0.85
    """Coverage of α that is asked for."""


CASES = [
    Case(1.0),
    Case(1.0, 2.5e-4, 30),
    Case(0.33, 0.3, 50),
    Case(1.0, 2.5e-4, 30, points=50, sigma=0.05),
    Case(1.0, points=90, rho=0.8, least=0.6),
    Case(1.0, 2.5e-4, 30, points=90, rho=0.8, least=0.6),
]


def noise(case: Case, rng: np.random.Generator) -> np.ndarray:
    white = rng.standard_normal(case.points)
    series = white.copy()
    for i in range(1, case.points):
        series[i] = case.rho * series[i - 1] + np.sqrt(1 - case.rho**2) * white[i]
    return case.sigma * series


def slope(t: np.ndarray, loss: np.ndarray, window: tuple[float, float]) -> float:
    inside = (t >= window[0] * 0.999) & (t <= window[1] * 1.001)
    return -float(np.polyfit(np.log(t[inside]), np.log(loss[inside]), 1)[0])


@pytest.mark.parametrize("case", CASES)
def test_intervals_of_one_curve(case):
    """Of α, and of the long-window and strict slope, whose truth is the slope of the curve without noise."""
    rng, t = np.random.default_rng(0), np.geomspace(10, 1e4, case.points)
    exact = case.floor + (t + case.t0) ** -case.alpha
    alphas, covered = [], {"alpha": [], "long window": [], "strict": []}
    for seed in range(DRAWS):
        fit = fit_power_law(t, exact * np.exp(noise(case, rng)), seed=seed)
        alphas.append(fit.alpha)
        truths = [
            ("alpha", case.alpha, fit.alpha_ci),
            ("long window", slope(t, exact, fit.long_window), fit.alpha_long_ci),
        ]
        if fit.alpha_strict_ci is not None:
            truths.append(("strict", slope(t, exact, fit.flat_window), fit.alpha_strict_ci))
        for name, truth, (low, high) in truths:
            covered[name].append(low <= truth <= high)
    shares = ", ".join(f"{name} {np.mean(found):.2f} of {len(found)}" for name, found in covered.items() if found)
    print(f"\n{case}: median α {np.median(alphas):.3f}, standard deviation {np.std(alphas):.3f}; covered: {shares}")
    assert np.mean(covered["alpha"]) >= case.least
    assert abs(np.median(alphas) - case.alpha) < 3 * np.std(alphas) / np.sqrt(DRAWS) + 0.002


@pytest.mark.parametrize("n_seeds", [2, 3, 5, 10])
def test_intervals_over_seeds(n_seeds):
    rng = np.random.default_rng(0)
    ends = [seed_interval(rng.standard_normal(n_seeds)) for _ in range(4000)]
    covered = np.mean([low <= 0 <= high for low, high in ends])
    print(f"\n{n_seeds} seeds: covered {covered:.3f}")
    assert 0.925 < covered < 0.965


@pytest.mark.parametrize("sigma", [0.05, 0.3])
@pytest.mark.parametrize("n_features", [32, 64, 1024])
def test_intervals_of_half_time_exponents(n_features, sigma):
    rng, rank = np.random.default_rng(0), np.arange(1.0, n_features + 1)
    found = [half_time_exponent(rank**1.5 * np.exp(sigma * rng.standard_normal(n_features))) for _ in range(1000)]
    covered = np.mean([low <= 1.5 <= high for _, (low, high), _ in found])
    print(f"\nz of {n_features} features, half-times scattered by {sigma:.0%}: covered {covered:.3f}")
    assert 0.88 < covered < 0.98
