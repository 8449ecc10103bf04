"""Which model describes a curve: AICc on the whole window, and the error on a last decade that the fit did
not see.

Pure power law; with shift t0; with floor; with both; one smooth break, C t^-α (1 + (t/t_b)^{1/f})^{-f Δ}
(arXiv 2210.14891, its break sharpness f free); stretched exponential, L_inf + A e^{−(t/τ)^β}; and, where
given, a theory curve with nothing to fit. All share the window rule, the log residuals and one robust scale.
Axis legend: `t` point.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from superdyn.analysis.curve import Curve, read_curve
from superdyn.analysis.fit import LEAST_DECADES, LEAST_POINTS
from superdyn.analysis.polish import ROBUST_LOSS, ROBUST_SCALES, corrected_akaike, polish_form
from superdyn.analysis.power_law import FORMS, Scales, log_model
from superdyn.analysis.slope import straight_line
from superdyn.analysis.window import windowed

HELD_OUT_DECADES = 1.0


class _Model(NamedTuple):
    """log L at times t for parameters p, their number, and the points a search starts from."""

    log_loss: Callable[[np.ndarray, np.ndarray], np.ndarray]
    n_parameters: int
    starts: Callable[[Curve], list[np.ndarray]]


def compare_models(
    t: ArrayLike,
    loss: ArrayLike,
    *,
    theory: Callable[[np.ndarray], np.ndarray] | None = None,
    least: float | None = None,
) -> pd.DataFrame:
    """One row per model, best AICc first: `model`, `n_parameters`, `aicc`, `delta_aicc`, `rms`,
    `held_out_rms`.

    `rms` and `held_out_rms` are root-mean-square errors of log L, the latter on the last decade after a fit
    to the rest (NaN where the rest is shorter than half a decade). `theory` maps times (t,) to losses and has
    no free parameter. `least` is the least possible loss, where it is known: all is then done with what exceeds it,
    which `theory` gives too.

    Raises:
        ValueError: fewer than 10 points or half a decade are left in the window.
    """
    curve, notes = windowed(read_curve(t, loss, least=least))
    if curve.t.size < LEAST_POINTS or curve.t[-1] < 10**LEAST_DECADES * curve.t[0]:
        raise ValueError(
            f"{curve.t.size} points are left in the window ({'; '.join(notes) or 'no rule applied'}); "
            f"allowed: at least {LEAST_POINTS} over {LEAST_DECADES} decades"
        )
    early = curve.within(curve.t < curve.t[-1] / 10**HELD_OUT_DECADES)
    late = curve.within(curve.t >= curve.t[-1] / 10**HELD_OUT_DECADES)
    testable = early.t.size >= LEAST_POINTS and early.t[-1] >= 10**LEAST_DECADES * early.t[0]
    scale = ROBUST_SCALES * polish_form(curve.t, curve.loss, curve.weight, "power+t0+floor").noise
    rows = []
    for name, (fit, size) in _fitters(theory, scale).items():
        whole = _errors(fit(curve), curve)
        held_out = np.sqrt(np.mean(_errors(fit(early), late) ** 2)) if testable else np.nan
        rows.append((name, size, _score(whole * curve.weight, size, scale), np.sqrt(np.mean(whole**2)), held_out))
    frame = pd.DataFrame(rows, columns=["model", "n_parameters", "aicc", "rms", "held_out_rms"])
    frame.insert(3, "delta_aicc", frame["aicc"] - frame["aicc"].min())
    return frame.sort_values("aicc", ignore_index=True)


_Predictor = Callable[[np.ndarray], np.ndarray]


def _fitters(theory: _Predictor | None, scale: float) -> dict[str, tuple[Callable[[Curve], _Predictor], int]]:
    fitters: dict[str, tuple[Callable[[Curve], _Predictor], int]] = {}
    for form, free in FORMS.items():
        fitters[form] = (lambda curve, form=form: _fit_form(curve, form, scale), sum(free))
    for name, model in (("one break", _BREAK), ("stretched exponential", _STRETCHED)):
        fitters[name] = (lambda curve, model=model: _fit_model(curve, model, scale), model.n_parameters)
    if theory is not None:
        fitters["theory"] = (lambda _: lambda times: np.log(theory(times)), 0)
    return fitters


def _errors(predict: _Predictor, curve: Curve) -> Float[np.ndarray, "t"]:
    return predict(curve.t) - np.log(curve.loss)


def _score(residual: Float[np.ndarray, "t"], n_parameters: int, scale: float) -> float:
    mean_square = np.mean(2.0 * scale**2 * (np.sqrt(1.0 + (residual / scale) ** 2) - 1.0))
    return float(corrected_akaike(residual.size, n_parameters, np.array([mean_square]))[0])


def _fit_form(curve: Curve, form: str, scale: float) -> _Predictor:
    fit, units = polish_form(curve.t, curve.loss, curve.weight, form, scale), Scales.of(curve.t, curve.loss)
    return lambda times: log_model(times, fit.x[None], units)[0][0]


def _fit_model(curve: Curve, model: _Model, scale: float) -> _Predictor:
    def misfit(p: np.ndarray) -> np.ndarray:
        return curve.weight * (model.log_loss(curve.t, p) - np.log(curve.loss))

    solved = [
        least_squares(misfit, start, loss=ROBUST_LOSS, f_scale=scale, x_scale="jac", max_nfev=60)
        for start in model.starts(curve)
    ]
    best = min(solved, key=lambda fit: fit.cost).x
    return lambda times: model.log_loss(times, best)


def _break_log_loss(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """p = (log C, α, log t_b, Δ, log f)."""
    width = np.exp(np.clip(p[4], -3.0, 2.0))
    return p[0] - p[1] * np.log(t) - width * p[3] * np.logaddexp(0.0, (np.log(t) - p[2]) / width)


def _break_starts(curve: Curve) -> list[np.ndarray]:
    x, y = np.log(curve.t), np.log(curve.loss)
    starts = []
    for share in (0.25, 0.5, 0.75):
        split = x[0] + share * (x[-1] - x[0])
        early, late = np.searchsorted(x, split, side="right"), np.searchsorted(x, split)
        # On either side of a wide gap there may be too few points for a slope.
        parts = slice(max(early, 3)), slice(min(late, x.size - 3), None)
        before, after = (-straight_line(x[part], y[part])[0] for part in parts)
        starts.append(np.array([y[0] + before * x[0], before, split, after - before, -1.0]))
    return starts


def _stretched_log_loss(t: np.ndarray, p: np.ndarray) -> np.ndarray:
    """p = (log L_inf, log A, log τ, log β)."""
    power = np.exp(np.clip(np.exp(np.clip(p[3], -5.0, 2.0)) * (np.log(t) - p[2]), -700.0, 700.0))
    return np.logaddexp(p[0], p[1] - power)


def _stretched_starts(curve: Curve) -> list[np.ndarray]:
    x, y = np.log(curve.t), np.log(curve.loss)
    taus = x[0] + np.array([0.0, 0.5]) * (x[-1] - x[0])
    return [np.array([y.min() - 1.0, y[0] + 1.0, tau, np.log(beta)]) for tau, beta in product(taus, (0.2, 0.5))]


_BREAK = _Model(_break_log_loss, 5, _break_starts)
_STRETCHED = _Model(_stretched_log_loss, 4, _stretched_starts)
