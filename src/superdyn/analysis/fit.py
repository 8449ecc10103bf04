"""Fit L(t) = L_inf + C (t + t0)^-α to one curve: window rule, variable projection, robust polish, interval.

Where the least possible loss is known, all of this is done with L − L_least, so that L_inf ≥ L_least, and α is the
exponent of the excess. The pieces, each in its file: `excess` (what is fitted), `curve` (clean, bin), `window` (the
rule), `projection` (grid search), `polish` (scipy least squares, choice among the nested forms by AICc), `interval` and
`noise` (bootstrap, trimmed windows), `slope` (flatness). Axis legend: `t` point.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from superdyn.analysis.curve import Curve, read_curve
from superdyn.analysis.excess import EXCESS, known_error, known_least
from superdyn.analysis.interval import bootstrap_alpha, line_with_interval, trimmed_alphas
from superdyn.analysis.polish import ROBUST_LOSS, ROBUST_SCALES, Polished, polish
from superdyn.analysis.power_law import ALPHA_BOUNDS, FORMS, Scales, log_model
from superdyn.analysis.projection import ALPHA_GRID, T0_POINTS
from superdyn.analysis.result import Interval, PowerLawFit, no_fit
from superdyn.analysis.slope import FLAT_DECADES, flat_stretch, local_slope, straight_line
from superdyn.analysis.window import floor_start, rise, windowed

LEAST_POINTS = 10
LEAST_DECADES = 0.5
LONG_DECADES = 2.5
FLOOR_SHARE = 0.1
"""A flat local slope is a strict exponent only where the floor is at most this share of the loss: on top of a
floor the slope of L is small, so it varies little in absolute terms whatever the exponent is."""


def fit_curve(curve: pd.DataFrame, axis: str, *, n_boot: int = 200, seed: int = 0) -> PowerLawFit:
    """The fit of a curve with the columns `axis` and `loss`: above its `least_loss` where it has one, else of L itself.

    Raises:
        ValueError: as `fit_power_law` and `known_least`.
    """
    least, error = known_least(curve), known_error(curve)
    return fit_power_law(curve[axis], curve["loss"], least=least, error=error, n_boot=n_boot, seed=seed)


def fit_power_law(
    t: ArrayLike,
    loss: ArrayLike,
    *,
    least: float | None = None,
    error: ArrayLike | None = None,
    window: Interval | None = None,
    n_boot: int = 200,
    seed: int = 0,
    forms: tuple[str, ...] = tuple(FORMS),
) -> PowerLawFit:
    """Exponent of a loss curve with its interval, window and flatness.

    `t` (t,) are steps or lr-times and `loss` (t,) the losses; a row at t = 0 tells L(0) and is not fitted.
    `least` is the least possible loss, where it is known: the fit is then of what the loss exceeds it by, and the
    window ends where that is drowned in `error` (t,), its standard error, or, without one, where it is not positive.
    `window` replaces the window rule. Points that are not finite or not positive are dropped and counted in
    `method`. A curve without a stretch to fit gives NaN and a `note`.

    Raises:
        ValueError: shapes differ, a time is negative, `least` is not finite, the window is empty, `n_boot` is below 2,
            or a form is unknown.
    """
    _check(window, n_boot, forms)
    curve = read_curve(t, loss, least=least, error=None if error is None else np.asarray(error, dtype=np.float64))
    method = _method(curve, n_boot, seed, forms, least)
    kept, notes = windowed(curve, window)
    notes += [remark] if kept.t.size and (remark := rise(kept)) else []
    if not _enough(kept):
        return no_fit(_too_little(curve, kept, notes), kept.t.size, method, least)
    # The richest form comes last: it sets the noise scale and carries the bootstrap.
    ordered = tuple(sorted(forms, key=lambda form: sum(FORMS[form])))
    best, fits, fitted = _fit_before_floor(kept, ordered, rule=window is None)
    if not _enough(fitted):
        return no_fit(_lost_in_noise(curve, kept, fitted, notes), fitted.t.size, method, least)
    if _slope(fitted) >= 0:
        return no_fit("; ".join([*notes, "no fit: the loss does not fall over the window"]), 0, method, least)
    notes += _remarks(fitted, float(best.x[0]))
    chosen = {"form": best.form, "noise": best.noise, "robust_scale": ROBUST_SCALES * fits[-1].noise}
    numbers = _numbers(fitted, best, fits, n_boot, np.random.default_rng(seed))
    numbers["L_inf"] += least or 0.0
    return PowerLawFit(
        **numbers,
        least_loss=least,
        n_points=int(fitted.t.size),
        note="; ".join(notes),
        method=method | chosen,
    )


def _numbers(
    curve: Curve, best: Polished, fits: list[Polished], n_boot: int, rng: np.random.Generator
) -> dict[str, Any]:
    """Parameters, intervals and flatness of the fitted curve."""
    alpha, t0, floor, scale = (float(v) for v in Scales.of(curve.t, curve.loss).parameters(best.x))
    slope, slope_ci = line_with_interval(curve, np.full(curve.t.size, True))
    span = (float(curve.t[0]), float(curve.t[-1]))
    return {
        "alpha": alpha,
        "alpha_ci": bootstrap_alpha(curve, fits, n_boot, rng),
        "alpha_windows": trimmed_alphas(curve, best),
        "L_inf": floor,
        "C": scale,
        "t0": t0,
        "window": span,
        "alpha_long": slope,
        "alpha_long_ci": slope_ci,
        "long_window": span,
        **_flatness(curve, floor),
    }


def _check(window: Interval | None, n_boot: int, forms: tuple[str, ...]) -> None:
    if window is not None and not window[0] < window[1]:
        raise ValueError(f"window={window} is empty; allowed: (t_min, t_max) with t_min < t_max")
    if n_boot < 2:
        raise ValueError(f"n_boot={n_boot} gives no interval; allowed: 2 or more")
    unknown = [form for form in forms if form not in FORMS]
    if unknown or not forms:
        raise ValueError(f"forms={forms} names {unknown or 'nothing'}; allowed: {', '.join(FORMS)}")


def _decades(curve: Curve) -> float:
    return float(np.log10(curve.t[-1] / curve.t[0])) if curve.t.size else 0.0


def _enough(curve: Curve) -> bool:
    return curve.t.size >= LEAST_POINTS and _decades(curve) >= LEAST_DECADES


def _slope(curve: Curve) -> float:
    return straight_line(np.log(curve.t), np.log(curve.loss))[0]


def _too_little(curve: Curve, kept: Curve, notes: list[str]) -> str:
    found = f"{kept.t.size} of {curve.t.size} usable points over {_decades(kept):.2f} decades are left in the window"
    needed = f"a fit needs {LEAST_POINTS} points and {LEAST_DECADES} decades"
    return "; ".join([*notes, f"no fit: {found}, {needed}"])


def _remarks(fitted: Curve, alpha: float) -> list[str]:
    remarks = []
    if _decades(fitted) < LONG_DECADES:
        remarks.append(f"the long window has {_decades(fitted):.2f} of {LONG_DECADES} decades")
    if alpha < (1.0 + 1e-6) * ALPHA_BOUNDS[0]:
        remarks.append(f"alpha is at the end of its bounds, {ALPHA_BOUNDS[0]:g}: the loss hardly falls")
    if alpha > (1.0 - 1e-6) * ALPHA_BOUNDS[1]:
        remarks.append(
            f"alpha is at the end of its bounds, {ALPHA_BOUNDS[1]:g}: the decay is steeper than a power law's"
        )
    return remarks


def _lost_in_noise(curve: Curve, kept: Curve, fitted: Curve, notes: list[str]) -> str:
    if not fitted.t.size:
        steep = kept.t.size and -_slope(kept) > ALPHA_BOUNDS[1]
        reason = "the decay is steeper than a power law's" if steep else "no decay stands out of the noise"
        return "; ".join([*notes, f"no fit: {reason}"])
    remark = f"from t = {kept.t[fitted.t.size]:.4g} on the decay is lost in the noise on its floor"
    return _too_little(curve, fitted, [*notes, remark])


def _fit_before_floor(curve: Curve, forms: tuple[str, ...], *, rule: bool) -> tuple[Polished, list[Polished], Curve]:
    """Best form, all forms, and the curve before the drowned end that the rule cuts, to which they are refitted if it
    is long enough."""
    best, all_forms = polish(curve.t, curve.loss, curve.weight, forms)
    if not rule:
        return best, all_forms, curve
    scales = Scales.of(curve.t, curve.loss)
    total = np.exp(log_model(curve.t, best.x[None], scales)[0][0])
    stop = floor_start(curve.t, total - scales.parameters(best.x)[2], total, best.noise)
    shorter = curve.within(np.arange(curve.t.size) < stop)
    if stop == curve.t.size or _decades(shorter) < LEAST_DECADES:
        return best, all_forms, shorter
    # Of a sparse curve some drowned points stay, to make up the number that a fit needs.
    shorter = curve.within(np.arange(curve.t.size) < max(stop, LEAST_POINTS))
    return *polish(shorter.t, shorter.loss, shorter.weight, forms), shorter


def _flatness(curve: Curve, floor: float) -> dict[str, Any]:
    """The longest flat stretch and, where it is long enough, the slope over it."""
    t_mid, slope = local_slope(curve.t, curve.loss)
    visible = floor <= FLOOR_SHARE * np.exp(np.interp(np.log(t_mid), np.log(curve.t), np.log(curve.loss)))
    low, high, decades = flat_stretch(t_mid, np.where(visible, slope, np.nan))
    strict, interval = None, None
    if decades >= FLAT_DECADES:
        strict, interval = line_with_interval(curve, (curve.t >= low) & (curve.t <= high))
    return {
        "flat": strict is not None,
        "flat_decades": decades,
        "flat_window": (low, high),
        "alpha_strict": strict,
        "alpha_strict_ci": interval,
    }


def _method(curve: Curve, n_boot: int, seed: int, forms: tuple[str, ...], least: float | None) -> dict[str, Any]:
    """What has to be reported with every exponent."""
    fitted = "L" if least is None else f"({EXCESS})"
    floors = [0.0, "1.5 least loss"] if least is None else ["L_least", "L_least + 1.5 least excess"]
    return {
        "model": f"L_inf + C (t + t0)^-alpha on log {fitted}",
        "forms_compared": list(forms),
        "selection": "AICc",
        "loss": ROBUST_LOSS,
        "start_grid": {"alpha": [ALPHA_GRID[0], ALPHA_GRID[-1], ALPHA_GRID.size], "t0": T0_POINTS + 1},
        "bounds": {"alpha": list(ALPHA_BOUNDS), "t0": [0.0, "last t"], "L_inf": floors},
        "bootstrap": {"kind": "first-order autoregression", "replicates": n_boot, "seed": seed},
        "dropped_points": curve.n_dropped,
    }
