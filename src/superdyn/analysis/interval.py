"""Intervals of one curve's exponents: stationary block bootstrap of the residuals, and the spread over
windows.

Every replicate is the richest form's curve plus resampled, degree-of-freedom-corrected residuals; all forms
are refitted to it and the one of least AICc gives its α, so the interval includes the doubt about the form.
Axis legend: `m` replicate or window, `t` point, `c` coordinate.
"""

from itertools import product

import numpy as np
from jaxtyping import Float

from superdyn.analysis.bootstrap import block_length, stationary_blocks
from superdyn.analysis.curve import Curve
from superdyn.analysis.polish import ROBUST_SCALES, Polished, corrected_akaike
from superdyn.analysis.power_law import Scales, free_mask
from superdyn.analysis.refit import refit_many
from superdyn.analysis.result import Interval
from superdyn.analysis.slope import straight_line

QUANTILES = (0.025, 0.975)
TRIMS = (0.0, 0.25, 0.5)
"""Decades cut from either end of the window to see how α depends on it."""
HOPELESS = 30.0
"""A form whose AICc is this much above the best is not refitted: a replicate prefers it with odds of e^-15."""

LEAST_POINTS = 8


def bootstrap_alpha(curve: Curve, fits: list[Polished], n_boot: int, rng: np.random.Generator) -> Interval:
    """95 % percentile interval of α; `fits` are the forms of one polish, the richest last.

    Stretched to the chosen form's own α where the doubt about the form puts the replicates to one side of it.
    """
    richest, n = fits[-1], curve.t.size
    n_free = int(free_mask(richest.form).sum())
    drawn = _resampled(richest.residual, n_free, n_boot, rng)
    log_loss = np.log(curve.loss) + (richest.residual - drawn) / curve.weight
    weight = np.broadcast_to(curve.weight, log_loss.shape)
    scales = Scales.of(curve.t, curve.loss)
    best = min(fits, key=lambda fit: fit.aicc)
    contenders = [fit for fit in fits if fit.aicc < best.aicc + HOPELESS]
    alphas, scores = np.empty((2, len(contenders), n_boot))
    for row, fit in enumerate(contenders):
        start = np.broadcast_to(fit.x, (n_boot, 4))
        robust_scale = ROBUST_SCALES * richest.noise
        x, cost = refit_many(curve.t, log_loss, weight, start, fit.form, scales, robust_scale)
        alphas[row] = x[:, 0]
        scores[row] = corrected_akaike(n, int(free_mask(fit.form).sum()), 2.0 * cost / n)
    low, high = _quantiles(alphas[np.argmin(scores, axis=0), np.arange(n_boot)])
    return min(low, float(best.x[0])), max(high, float(best.x[0]))


def line_with_interval(curve: Curve, n_boot: int, rng: np.random.Generator) -> tuple[float, Interval]:
    """−(straight-line slope of log L on log t), every point counting alike, and its block-bootstrap
    interval."""
    x = np.log(curve.t)
    slope, _, residual = straight_line(x, np.log(curve.loss))
    centred = x - x.mean()
    shifts = _resampled(residual, 2, n_boot, rng) @ centred / (centred @ centred)
    return -slope, _quantiles(-slope - shifts)


def _resampled(
    residual: Float[np.ndarray, "t"], n_free: int, n_boot: int, rng: np.random.Generator
) -> Float[np.ndarray, "m t"]:
    """Centred residuals in resampled order, widened for the degrees of freedom that the fit used up."""
    n = residual.size
    index = stationary_blocks(n, n_boot, block_length(residual), rng)
    return (residual - residual.mean())[index] * np.sqrt(n / (n - n_free))


def _quantiles(values: Float[np.ndarray, "m"]) -> Interval:
    low, high = np.quantile(values, QUANTILES)
    return float(low), float(high)


def trimmed_alphas(curve: Curve, fit: Polished) -> Interval:
    """Least and largest α of the fitted form over windows trimmed by `TRIMS` decades at either end."""
    factors = 10.0 ** np.array(TRIMS)
    bounds = [(curve.t[0] * low, curve.t[-1] / high) for low, high in product(factors, factors)]
    alphas = alphas_in_windows(curve, fit, np.array(bounds))
    return float(np.nanmin(alphas)), float(np.nanmax(alphas))


def alphas_in_windows(curve: Curve, fit: Polished, bounds: Float[np.ndarray, "m 2"]) -> Float[np.ndarray, "m"]:
    """α of the same form in every window, NaN where too few points are inside."""
    slack = 1.0 + 1e-12
    mask = (curve.t >= bounds[:, :1] / slack) & (curve.t <= bounds[:, 1:] * slack)
    alphas, usable = np.full(len(bounds), np.nan), mask.sum(axis=1) >= LEAST_POINTS
    n = int(usable.sum())
    x, _ = refit_many(
        curve.t,
        np.broadcast_to(np.log(curve.loss), (n, curve.t.size)),
        curve.weight * mask[usable],
        np.broadcast_to(fit.x, (n, 4)),
        fit.form,
        Scales.of(curve.t, curve.loss),
        ROBUST_SCALES * fit.noise,
    )
    alphas[usable] = x[:, 0]
    return alphas
