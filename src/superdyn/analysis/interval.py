"""Intervals of one curve's exponents: draws of autocorrelated noise about the fit, and the spread over windows.

Every replicate is the richest form's curve plus a draw of the noise that its residuals tell of (`noise.py`); all forms
are refitted to it and the one of least AICc gives its α, so the interval includes the doubt about the form and about
how the noise of neighbours goes together. The slope of a straight line is linear in the noise and needs no replicates.
Axis legend: `m` replicate or window, `t` point, `c` coordinate.
"""

from itertools import product

import numpy as np
from jaxtyping import Bool, Float

from superdyn.analysis.curve import Curve
from superdyn.analysis.noise import noise_of
from superdyn.analysis.polish import ROBUST_SCALES, Polished, corrected_akaike
from superdyn.analysis.power_law import Scales, free_mask, log_model
from superdyn.analysis.refit import refit_many
from superdyn.analysis.result import Interval
from superdyn.analysis.slope import straight_line

QUANTILES = (0.025, 0.975)
TRIMS = (0.0, 0.25, 0.5)
"""Decades cut from either end of the window to see how α depends on it."""
HOPELESS = 30.0
"""A form whose AICc is this much above the best is not refitted: a replicate prefers it with odds of e^-15."""
OUTLIER = 4.0
"""Residuals beyond so many noise scales count as that in the noise of α: the robust fit hardly heeds them either."""
TREND_DEGREE = 3
"""The noise of a straight line is what a polynomial of this degree in log t leaves: a bend is no noise."""
LEAST_POINTS = 8


def bootstrap_alpha(curve: Curve, fits: list[Polished], n_boot: int, rng: np.random.Generator) -> Interval:
    """95 % percentile interval of α; `fits` are the forms of one polish, the richest last.

    Stretched to the chosen form's own α where the doubt about the form puts the replicates to one side of it.
    """
    richest, n = fits[-1], curve.t.size
    scales = Scales.of(curve.t, curve.loss)
    slopes = log_model(curve.t, richest.x[None], scales)[1][0][:, free_mask(richest.form)]
    bound = OUTLIER * richest.noise
    noise = noise_of(np.clip(richest.residual, -bound, bound), curve.weight[:, None] * slopes)
    log_loss = np.log(curve.loss) + (richest.residual + noise.draw(n, n_boot, rng)) / curve.weight
    weight = np.broadcast_to(curve.weight, log_loss.shape)
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


def line_with_interval(curve: Curve, inside: Bool[np.ndarray, "t"]) -> tuple[float, Interval]:
    """−(straight-line slope of log L on log t) over the points `inside`, all counting alike, and its 95 % interval
    under the noise of the whole curve."""
    x, y = np.log(curve.t), np.log(curve.loss)
    trend = np.polynomial.legendre.legvander(2.0 * (x - x[0]) / (x[-1] - x[0]) - 1.0, TREND_DEGREE)
    residual = y - trend @ np.linalg.lstsq(trend, y, rcond=None)[0]
    centred = np.where(inside, x - x[inside].mean(), 0.0)
    half = noise_of(residual, trend).half_width(centred / (centred @ centred))
    slope = -straight_line(x[inside], y[inside])[0]
    return slope, (slope - half, slope + half)


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
