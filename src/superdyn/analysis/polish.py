"""Polish of one curve's fit: scipy's bounded robust least squares on log residuals, and the choice among
nested forms.

Minimises Σ s² ρ((w (log model − log L)/s)²) with ρ(z) = 2(√(1+z) − 1), s twice the residuals' median absolute
deviation on the normal scale, and picks the form with the least AICc: a shift or a floor that the data do not
show would only bias α upwards, because both are bounded at 0. Axis legend: `t` point, `c` coordinate.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.optimize import OptimizeResult, least_squares

from superdyn.analysis.power_law import FORMS, Scales, free_mask, residuals, without_dips
from superdyn.analysis.projection import project

ROBUST_LOSS = "soft_l1"
ROBUST_SCALES = 2.0
NOISE_FLOOR = 1e-6
"""Relative noise below which a curve counts as exact: float32 losses are not known better than this."""


@dataclass(frozen=True)
class Polished:
    """One form's optimum: coordinates, weighted log residuals (model − data), noise scale and AICc."""

    form: str
    x: Float[np.ndarray, "c"]
    residual: Float[np.ndarray, "t"]
    noise: float
    aicc: float


def noise_scale(residual: Float[np.ndarray, "t"]) -> float:
    """Standard deviation of the bulk of the residuals, 1.4826 × median |r|."""
    return max(1.4826 * float(np.median(np.abs(residual))), NOISE_FLOOR)


def polish_form(
    t: Float[np.ndarray, "t"],
    loss: Float[np.ndarray, "t"],
    weight: Float[np.ndarray, "t"],
    form: str,
    robust_scale: float | None = None,
) -> Polished:
    """Fit one form; a given `robust_scale` makes the misfits of several comparable, None measures it here."""
    scales, free, log_loss = Scales.of(t, loss), free_mask(form), np.log(loss)
    low, high = scales.bounds(form)
    x = scales.coordinates(*project(t, without_dips(loss), weight, form))

    def evaluate(part: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        x[free] = part
        return residuals(t, log_loss, weight, x, scales)

    def solve(start: np.ndarray, scale: float) -> OptimizeResult:
        return least_squares(
            lambda part: evaluate(part)[0],
            start,
            jac=lambda part: evaluate(part)[1][:, free],  # pyright: ignore[reportArgumentType]
            bounds=(low, high),
            loss=ROBUST_LOSS,
            f_scale=scale,
            x_scale="jac",
            max_nfev=60,
        )

    start = np.clip(x[free], low + 1e-9, high - 1e-9)
    # Residuals at a grid point exceed the noise: a first solution with their own scale gets close.
    solved = solve(start, ROBUST_SCALES * noise_scale(evaluate(start)[0]))
    solved = solve(solved.x, robust_scale or ROBUST_SCALES * noise_scale(solved.fun))
    x[free] = solved.x
    score = corrected_akaike(t.size, int(free.sum()), np.array([2.0 * solved.cost / t.size]))
    return Polished(form, x, solved.fun, noise_scale(solved.fun), float(score[0]))


def corrected_akaike(n_points: int, n_parameters: int, mean_square: Float[np.ndarray, "m"]) -> Float[np.ndarray, "m"]:
    """AICc of a least-squares fit, n log(mean square) + 2k + 2k(k+1)/(n−k−1), k with the noise scale."""
    k = n_parameters + 1
    return n_points * np.log(np.maximum(mean_square, NOISE_FLOOR**2)) + 2.0 * k * (
        1.0 + (k + 1.0) / (n_points - k - 1.0)
    )


def polish(
    t: Float[np.ndarray, "t"],
    loss: Float[np.ndarray, "t"],
    weight: Float[np.ndarray, "t"],
    forms: tuple[str, ...] = tuple(FORMS),
) -> tuple[Polished, list[Polished]]:
    """The best of `forms` by AICc, and all of them; the last (the richest) sets the robust scale for all."""
    richest = polish_form(t, loss, weight, forms[-1])
    scale = ROBUST_SCALES * richest.noise
    fits = [polish_form(t, loss, weight, form, scale) for form in forms]
    return min(fits, key=lambda fit: fit.aicc), fits
