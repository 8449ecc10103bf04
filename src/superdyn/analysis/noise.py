"""Noise of one curve as a first-order autoregression: how strongly neighbouring points go together, and what that does
to a slope.

e_t = ρ e_{t−1} + u_t. A fit with p parameters takes slow noise out of its own residuals, so that their plain
correlation is too small; the restricted likelihood of ρ (Patterson & Thompson 1971), with σ² integrated out, takes that
into account. Times Jeffreys' prior of a stationary autoregression, (1 − ρ²)^{−1/2}, it is a posterior of ρ on a grid:
intervals contain the doubt about ρ and σ, which is large where a few dozen points are correlated. Axis legend: `m`
replicate, `t` point, `p` parameter, `g` grid of ρ.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.special import stdtr, stdtrit

CORRELATIONS = np.concatenate([np.linspace(-0.6, 0.8, 29), np.linspace(0.82, 0.99, 18)])
"""Beyond 0.99 a few hundred points cannot tell correlated noise from a trend."""
_GRID_STEP = np.gradient(CORRELATIONS)
_COLLINEAR = 1e-7


@dataclass(frozen=True)
class Noise:
    """Posterior probability of each of `CORRELATIONS`, variance of u at each, and the degrees of freedom of the
    latter."""

    probability: Float[np.ndarray, "g"]
    variance: Float[np.ndarray, "g"]
    freedom: int

    @property
    def correlation(self) -> float:
        """Posterior mean of ρ."""
        return float(self.probability @ CORRELATIONS)

    def draw(self, n_points: int, n_draws: int, rng: np.random.Generator) -> Float[np.ndarray, "m t"]:
        """Series of Gaussian noise, each with its own ρ and σ from the posterior."""
        share = rng.permutation((np.arange(n_draws) + rng.random(n_draws)) / n_draws)
        index = np.minimum(np.searchsorted(np.cumsum(self.probability), share), CORRELATIONS.size - 1)
        rho = CORRELATIONS[index]
        sigma = np.sqrt(self.variance[index] * self.freedom / rng.chisquare(self.freedom, n_draws))
        series = rng.standard_normal((n_draws, n_points)) * sigma[:, None]
        series[:, 0] /= np.sqrt(1.0 - rho**2)
        for t in range(1, n_points):
            series[:, t] += rho * series[:, t - 1]
        return series

    def half_width(self, weight: Float[np.ndarray, "t"], level: float = 0.975) -> float:
        """Quantile of Σ weight·e, a mixture over ρ of Student's t, by bisection."""
        spectrum = np.fft.rfft(weight, 2 * weight.size)
        products = np.fft.irfft(np.abs(spectrum) ** 2, 2 * weight.size)[: weight.size]
        products[1:] *= 2.0
        powers = CORRELATIONS[:, None] ** np.arange(weight.size)
        variance = np.maximum(powers @ products, 0.0) / (1.0 - CORRELATIONS**2) * self.variance
        scale = np.sqrt(variance)
        if not scale.max() > 0:
            return 0.0
        scale = np.maximum(scale, 1e-12 * scale.max())
        low, high = 0.0, float(stdtrit(self.freedom, level)) * scale.max()
        for _ in range(40):
            middle = 0.5 * (low + high)
            reached = self.probability @ stdtr(self.freedom, middle / scale) >= level
            low, high = (low, middle) if reached else (middle, high)
        return 0.5 * (low + high)


def noise_of(residual: Float[np.ndarray, "t"], design: Float[np.ndarray, "t p"]) -> Noise:
    """The noise that left these residuals of a fit whose derivatives by its parameters are `design`."""
    basis, strength, _ = np.linalg.svd(design, full_matrices=False)
    basis = basis[:, strength > _COLLINEAR * strength[0]]
    n, p = basis.shape
    power = float(residual @ residual) or np.finfo(np.float64).tiny
    # Whitened by ρ, the products of all columns are a quadratic in ρ: no matrix of t × t is needed.
    columns = np.column_stack([basis, residual / np.sqrt(power)])
    cross = columns[1:].T @ columns[:-1]
    inner = columns[1:-1].T @ columns[1:-1]
    rho = CORRELATIONS[:, None, None]
    whitened = columns.T @ columns + rho**2 * inner - rho * (cross + cross.T)
    normal, projected = whitened[:, :p, :p], whitened[:, :p, p:]
    explained = (projected * np.linalg.solve(normal, projected)).sum(axis=(1, 2))
    squares = np.maximum(whitened[:, p, p] - explained, np.finfo(np.float64).eps)
    # log(1 − ρ²)/2 of the likelihood cancels against Jeffreys' prior.
    score = -0.5 * (n - p) * np.log(squares) - 0.5 * np.linalg.slogdet(normal)[1]
    probability = np.exp(score - score.max()) * _GRID_STEP
    return Noise(probability / probability.sum(), power * squares / (n - p), n - p)
