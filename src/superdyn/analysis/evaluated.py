"""Folders that `superdyn evaluate` wrote: checkpoints of a language model, measured in bins of tokens by frequency.

Their configuration says `kind: evaluation` and holds none of a training's keys; their time is the step, or the lr-time
where a schedule was given. `spectrum.parquet` has the loss of bins with a tenth of the text each (`loss`) and of bins
equally wide in log rank (`rank_loss`); `bins.parquet` describes both. The least loss of real text is not known (the
entropy of token frequencies is what a model without context can reach, and any model with one goes below it), so that
fits and half-times are of the losses themselves, floor included. Axis legend: `m` measurement, `b` bin.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from superdyn.analysis.half_time import half_time_exponent, half_times
from superdyn.analysis.overlay import lr_is_constant
from superdyn.analysis.result import finite_or_none
from superdyn.runs.folder import RunFolder

KIND = "evaluation"
BINS_FILE = "bins.parquet"
SPECTRA = {"occurrences": "loss", "rank": "rank_loss"}
"""Kind of bins, and the column of `spectrum.parquet` with their loss."""


def is_evaluation(config: Mapping[str, Any]) -> bool:
    """Whether the run's configuration, with dotted keys, is one of `superdyn evaluate`."""
    return config.get("kind") == KIND


def time_axis(config: Mapping[str, Any]) -> str:
    """The column of the curve that is the time of its fit: `step`, or `lr_time` where the learning rate changes."""
    constant = config["evaluation.lr_schedule"] is None if is_evaluation(config) else lr_is_constant(config)
    return "step" if constant else "lr_time"


def load_bins(run: str | Path, kind: str) -> pd.DataFrame:
    """One row per bin of the kind, `occurrences` or `rank`: `first_rank`, `last_rank`, `types`, `share`, `mean_rank`,
    `evaluated`.

    Raises:
        ValueError: the folder has none.
    """
    path = Path(run) / BINS_FILE
    if not path.is_file():
        raise ValueError(f"run={str(run)!r} has no {BINS_FILE}; allowed: a folder that superdyn evaluate wrote")
    frame = pd.read_parquet(path)
    return frame.loc[frame["kind"] == kind].reset_index(drop=True)


def load_bin_losses(run: str | Path, kind: str) -> tuple[Int[np.ndarray, "m"], Float[np.ndarray, "m b"]]:
    """Steps (m,) and the mean loss (m, b) of every bin in nats per token, NaN where a bin was never a target.

    Raises:
        ValueError: the folder has none.
    """
    found = RunFolder(run).spectrum(SPECTRA[kind])
    if found is None:
        raise ValueError(f"run={str(run)!r} has no spectrum.parquet; allowed: a run that has measured at least once")
    return found[0], found[1].astype(np.float64)


def half_times_by_rank(
    run: str | Path, curve: pd.DataFrame, axis: str
) -> tuple[Float[np.ndarray, "b"], Float[np.ndarray, "b"]]:
    """Mean rank and half-time of every bin equally wide in log rank whose loss was measured.

    The half-time is that of the loss itself, floor included, since no least loss is known: t at which it is half of its
    value at step 0. Without a measurement at step 0 there is none, and the half-times are NaN.
    """
    steps, losses = load_bin_losses(run, "rank")
    rank = load_bins(run, "rank")["mean_rank"].to_numpy(np.float64)
    known = np.isfinite(losses).all(axis=0) & np.isfinite(rank)
    times = curve.set_index("step", drop=False).loc[steps, axis].to_numpy(np.float64)
    # A warmup that begins with a learning rate of 0 gives the first steps one lr-time.
    later = np.diff(times, prepend=-1.0) > 0
    if later.sum() < 2 or steps[0] != 0:
        return rank[known], np.full(int(known.sum()), np.nan)
    return rank[known], half_times(times[later], losses[later][:, known])


def bin_half_times(run: str | Path, curve: pd.DataFrame, axis: str) -> dict[str, Any]:
    """The half-time exponent z over those bins, and how many of them have halved."""
    rank, times = half_times_by_rank(run, curve, axis)
    z, interval, ranks = half_time_exponent(times, rank=rank)
    first = int(curve["step"].iloc[0])
    note = None if first == 0 else f"half-times need the loss at step 0, and the first measured step is {first}"
    return {
        "half_time_exponent": finite_or_none(z),
        "half_time_exponent_ci": [finite_or_none(end) for end in interval],
        "half_time_features": list(ranks),
        "half_time_bins": [int(np.isfinite(times).sum()), int(times.size)],
        "half_time_note": note,
    }
