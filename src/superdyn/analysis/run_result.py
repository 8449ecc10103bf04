"""The result of one run, written as `result.json` by whoever ends the run: the fit, its null, theory and
half-times.

The time axis is the lr-time wherever the learning rate changes, else the step. Language models have no theory and no
null; they are fitted above the least loss of their evaluation tokens where that is known. Their half-times are those of
bins of tokens, in training above the floor that the bin's loss has come to, which holds what the model cannot reach.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Float32

from superdyn.analysis.evaluated import bin_half_times, is_evaluation, time_axis
from superdyn.analysis.fit import fit_curve
from superdyn.analysis.folder import load_config, load_curve, load_spectrum
from superdyn.analysis.half_time import half_time_exponent, half_times, settled_half_times
from superdyn.analysis.overlay import FlatConfig, exact_loss, null_loss, reads_tokens
from superdyn.analysis.result import Interval, PowerLawFit, finite_or_none
from superdyn.analysis.slope import straight_line
from superdyn.features.rank_bins import bin_edges
from superdyn.runs.record import LEAST_LOSS
from superdyn.theory import rich_exponent, sequential_exponent
from superdyn.training.schedules import stable_phase


def run_result(run: str | Path, *, n_boot: int = 200, seed: int = 0) -> dict[str, Any]:
    """Everything measured about a run, in plain JSON types; NaN is None.

    Raises:
        ValueError: the folder has no curve.
    """
    config, curve = load_config(run), load_curve(run)
    axis, loss = time_axis(config), curve["loss"].to_numpy()
    fit = fit_run(config, curve, n_boot=n_boot, seed=seed)
    return {
        "axis": axis,
        **fit.to_dict(),
        "loss_initial": finite_or_none(loss[0]),
        "loss_final": finite_or_none(loss[-1]),
        "loss_floor": finite_or_none(curve["loss_floor"].iloc[-1]) if "loss_floor" in curve else None,
        **(bin_half_times(run, curve, axis) if is_evaluation(config) else _compared(run, config, curve, axis, fit)),
    }


def fit_run(config: FlatConfig, curve: pd.DataFrame, *, n_boot: int = 200, seed: int = 0) -> PowerLawFit:
    """The fit of a run's curve on its time axis, of a wsd up to its decay, in which the loss falls as no power of time.

    Of a training on tokens whose least loss is not known the note says that the floor is contained.

    Raises:
        ValueError: as `fit_curve`.
    """
    remarks, end = [], _decay_begins(config)
    if end is not None and (curve["step"] > end).any():
        curve = curve[curve["step"] <= end]
        remarks.append(f"the decay of the learning rate, from step {end} on, is not fitted")
    fit = fit_curve(curve, time_axis(config), n_boot=n_boot, seed=seed)
    if fit.least_loss is None and reads_tokens(config):
        remarks.append(f"the curve has no {LEAST_LOSS}: L itself was fitted, with its floor")
    return replace(fit, note="; ".join(filter(None, [*remarks, fit.note])))


def _decay_begins(config: FlatConfig) -> int | None:
    """The step at which a wsd's constant learning rate begins to fall; None for other schedules, and where it falls
    all the way from the warmup."""
    if config.get("optimizer.schedule") != "wsd":
        return None
    fractions = config["optimizer.warmup_fraction"], config["optimizer.decay_fraction"]
    warmup, end = stable_phase(*fractions, config["trainer.max_steps"])
    return end if end > warmup else None


def _compared(run: str | Path, config: FlatConfig, curve: pd.DataFrame, axis: str, fit: PowerLawFit) -> dict[str, Any]:
    """What a training on features of known frequency and importance is compared with."""
    t = curve[axis].to_numpy(np.float64)
    return {
        **_expected(config),
        **_null(config, curve, t, fit.long_window),
        **_exact(config, curve),
        **_half_times(run, config, curve, axis),
    }


def _expected(config: FlatConfig) -> dict[str, Any]:
    """The two theoretical exponents, None where the loss has no power-law tail (a + 2b <= 1) and for tokens."""
    a, b = config["data.data_exponent"], config["data.importance_exponent"]
    exists = a > 0 and a + 2 * b > 1 and not reads_tokens(config)
    return {
        "alpha_sequential": sequential_exponent(a, b) if exists else None,
        "alpha_rich": rich_exponent(a, b) if exists else None,
    }


def _null(config: FlatConfig, curve: pd.DataFrame, t: Float[np.ndarray, "t"], window: Interval) -> dict[str, Any]:
    """Long-window slope of the finite-N null over the run's own long window and measurement times."""
    inside = (t >= window[0]) & (t <= window[1])
    null = null_loss(config, curve["step"].to_numpy(), curve["lr_time"].to_numpy())
    if null is None:
        return {"alpha_null_long": None, "null_label": None}
    # The null may have underflowed to 0 where the run has not.
    inside &= null.loss > 0
    if inside.sum() < 2:
        return {"alpha_null_long": None, "null_label": null.label}
    slope, _, _ = straight_line(np.log(t[inside]), np.log(null.loss[inside]))
    return {"alpha_null_long": -slope, "null_label": null.label}


def _exact(config: FlatConfig, curve: pd.DataFrame) -> dict[str, Any]:
    """Largest relative deviation from the theory of this run, over the whole curve."""
    theory = exact_loss(config, curve["step"].to_numpy(), curve["lr_time"].to_numpy())
    if theory is None:
        return {"exact_deviation": None, "exact_label": None, "exact": None}
    usable = theory.loss > 0
    deviation = np.abs(curve["loss"].to_numpy()[usable] / theory.loss[usable] - 1.0)
    return {
        "exact_deviation": finite_or_none(deviation.max()),
        "exact_label": theory.label,
        "exact": theory.exact,
    }


def _half_times(run: str | Path, config: FlatConfig, curve: pd.DataFrame, axis: str) -> dict[str, Any]:
    """Half-time exponent on the fit's time axis, of features or of bins of tokens."""
    steps, spectrum = load_spectrum(run)
    times = curve.set_index("step", drop=False).loc[steps, axis].to_numpy(np.float64)
    tokens = {}
    if len(steps) < 2:
        z, interval, features = np.nan, (np.nan, np.nan), (0, 0)
    elif reads_tokens(config):
        rank, halved = token_bin_half_times(config, times, spectrum)
        z, interval, features = half_time_exponent(halved, rank=rank)
        tokens = {"half_time_bins": [int(np.isfinite(halved).sum()), halved.size]}
    else:
        z, interval, features = half_time_exponent(half_times(times, spectrum))
    return {
        "half_time_exponent": finite_or_none(z),
        "half_time_exponent_ci": [finite_or_none(end) for end in interval],
        "half_time_features": list(features),
        **tokens,
    }


def token_bin_half_times(
    config: FlatConfig, times: Float[np.ndarray, "m"], spectrum: Float32[np.ndarray, "m b"]
) -> tuple[Float[np.ndarray, "known"], Float[np.ndarray, "known"]]:
    """Geometric middle of the ranks and half-time of every bin of tokens that was a target in the evaluation set."""
    edges = bin_edges(config["data.n_features"], config["data.tokens.bins"])
    known = spectrum[0] > 0
    rank = np.sqrt(edges[:-1] * (edges[1:] - 1.0))
    return rank[known], settled_half_times(times, spectrum[:, known])
