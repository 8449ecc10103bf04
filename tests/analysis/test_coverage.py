"""How often 95 % intervals hold the truth, over many draws of curves of known exponent; the table in docs/numerics.md.

`python -m pytest tests/analysis/test_coverage.py -m slow -s` prints it.
"""

from typing import NamedTuple

import numpy as np
import pytest

from superdyn.analysis import fit_power_law, half_time_exponent
from superdyn.analysis.seeds import seed_interval

pytestmark = pytest.mark.slow
DRAWS = 400


class Case(NamedTuple):
    """L = floor + (t + t0)^-α at log-spaced t from 10 on, relative noise σ, ρ its correlation of neighbours."""

    alpha: float
    floor: float
    t0: float
    points: int
    decades: int
    sigma: float
    rho: float = 0.0
    least: float = 0.91
    """Coverage of α that is asked for."""


POWER = Case(1.0, 0, 0, points=90, decades=3, sigma=0.02)
SHIFTED = Case(1.0, 0, 30, points=50, decades=2, sigma=0.05)
FLOORED = Case(1.0, 2.5e-5, 0, points=150, decades=4, sigma=0.01)
BOTH = Case(1.0, 2.5e-4, 30, points=100, decades=3, sigma=0.02)
SLOW = Case(0.33, 0.3, 50, points=150, decades=3, sigma=0.02)
CASES = [
    case._replace(rho=rho, least=0.75 if rho > 0.9 else case.least)
    for case, correlations in {
        POWER: (0, 0.5, 0.8, 0.95),
        SHIFTED: (0, 0.8, 0.95),
        FLOORED: (0, 0.8, 0.95),
        BOTH: (0, 0.5, 0.8, 0.95),
        SLOW: (0, 0.8),
    }.items()
    for rho in correlations
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
    rng, t = np.random.default_rng(0), np.geomspace(10, 10.0 ** (1 + case.decades), case.points)
    exact = case.floor + (t + case.t0) ** -case.alpha
    alphas, widths, covered = [], [], {"alpha": [], "long window": [], "strict": []}
    for seed in range(DRAWS):
        fit = fit_power_law(t, exact * np.exp(noise(case, rng)), seed=seed)
        if np.isnan(fit.alpha):
            continue
        alphas.append(fit.alpha)
        widths.append(np.ptp(fit.alpha_ci))
        truths = [
            ("alpha", case.alpha, fit.alpha_ci),
            ("long window", slope(t, exact, fit.long_window), fit.alpha_long_ci),
        ]
        if fit.alpha_strict_ci is not None:
            truths.append(("strict", slope(t, exact, fit.flat_window), fit.alpha_strict_ci))
        for name, truth, (low, high) in truths:
            covered[name].append(low <= truth <= high)
    shares = ", ".join(f"{name} {np.mean(found):.2f} of {len(found)}" for name, found in covered.items() if found)
    spread = f"median α {np.median(alphas):.3f}, standard deviation {np.std(alphas):.3f}"
    print(f"\n{case}: {spread}, median half-width {np.median(widths) / 2:.3f}; covered: {shares}")
    assert len(alphas) > 0.9 * DRAWS
    assert np.mean(covered["alpha"]) >= case.least
    assert abs(np.median(alphas) - case.alpha) < 3 * np.std(alphas) / np.sqrt(DRAWS) + 0.004


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
