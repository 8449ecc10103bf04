"""Reads what runs wrote: one run's curve and spectrum, or a whole sweep as one table with a row per run.

A sweep folder holds run folders one level down, each known by its `config.yaml`; a run folder itself is read
as a sweep of one. Axis legend: `m` measurement, `n` feature.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float32, Int64

from superdyn.runs.config_file import parse_config
from superdyn.runs.folder import RunFolder
from superdyn.runs.record import LEAST_LOSS
from superdyn.runs.sweep_folder import run_folders

_INTERVALS = {
    "alpha_ci": "alpha",
    "alpha_long_ci": "alpha_long",
    "alpha_strict_ci": "alpha_strict",
    "alpha_windows": "alpha_windows",
    "half_time_exponent_ci": "half_time_exponent",
}
_RESULT_COLUMNS = (
    "alpha",
    "alpha_long",
    "alpha_strict",
    "L_inf",
    "C",
    "t0",
    "flat",
    "flat_decades",
    "n_points",
    "note",
    "axis",
    "loss_initial",
    "loss_final",
    "loss_floor",
    "least_loss",
    "half_time_exponent",
    "alpha_sequential",
    "alpha_rich",
    "alpha_null_long",
    "exact_deviation",
)


def load_sweep(path: str | Path) -> pd.DataFrame:
    """One row per run: `run`, `path`, `signature`, `state`, `step`, `error`, every configuration key, the
    result.

    An interval becomes two columns, `*_low` and `*_high`; what a run does not have yet is NaN (None for
    text). Exponents are those of L − L_least where `least_loss` is not NaN, else of L; L_inf is always that of L.

    Raises:
        ValueError: `path` holds no run, or a configuration or result is not whole. A run whose status is not whole
            counts as failed, as in `superdyn status`.
    """
    return pd.DataFrame([_row(run) for run in existing_runs(path)])


def existing_runs(path: str | Path) -> list[RunFolder]:
    """The run folders of a sweep in the order of `run_folders`, or the folder itself when it is a run.

    Raises:
        ValueError: `path` is not a folder or holds no run.
    """
    runs = run_folders(path)
    if not runs:
        raise ValueError(f"path={str(path)!r} holds no run; allowed: a run folder, with config.yaml, or a sweep folder")
    return runs


def load_config(run: str | Path) -> dict[str, Any]:
    """The run's configuration with dotted keys."""
    return dict(_flatten(parse_config((Path(run) / "config.yaml").read_text(encoding="utf-8"))))


def load_curve(run: str | Path) -> pd.DataFrame:
    """The run's curve: `step`, `lr_time`, `loss`, one column per superposition measure, and `least_loss` with
    `excess_error` where they are known (`excess.py`).

    Raises:
        ValueError: the run has not measured yet.
    """
    columns = RunFolder(run).curve()
    if columns is None:
        raise ValueError(f"run={str(run)!r} has no curve.parquet; allowed: a run that has measured at least once")
    return pd.DataFrame(columns)


def load_spectrum(run: str | Path, column: str = "loss") -> tuple[Int64[np.ndarray, "m"], Float32[np.ndarray, "m n"]]:
    """Steps (m,) and per-feature losses (m, n) float32, or what a measure of the user's own recorded per feature.

    Raises:
        ValueError: the run has not measured yet, or has no such column.
    """
    folder = RunFolder(run)
    spectrum = folder.spectrum(column)
    if spectrum is not None:
        return spectrum
    if not (folder.path / "spectrum.parquet").is_file():
        raise ValueError(f"run={str(run)!r} has no spectrum.parquet; allowed: a run that has measured at least once")
    known = ["loss", *folder.feature_measures()]
    raise ValueError(f"column={column!r}: spectrum.parquet of run={str(run)!r} allows {', '.join(known)}")


def load_least_by_bin(run: str | Path) -> Float32[np.ndarray, "n"] | None:
    """What the best prediction loses in each bin of the spectrum of tokens, None where it is not known.

    The parts of the curve's `least_loss`; one bin alone can lose less, see `features/tokens/floors.py`.
    """
    found = RunFolder(run).spectrum(LEAST_LOSS)
    return None if found is None else found[1][0]


def result_columns(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result as flat table columns: intervals split in two, None as NaN."""
    columns = {key: _value(result.get(key)) for key in _RESULT_COLUMNS}
    for key, name in _INTERVALS.items():
        columns[f"{name}_low"], columns[f"{name}_high"] = _pair(result.get(key))
    columns["window_start"], columns["window_end"] = _pair(result.get("window"))
    columns["long_window_start"], columns["long_window_end"] = _pair(result.get("long_window"))
    return columns


def _row(run: RunFolder) -> dict[str, Any]:
    known = {"run": run.name, "path": str(run.path), **_state(run)}
    return known | load_config(run.path) | result_columns(run.result() or {})


def _state(run: RunFolder) -> dict[str, Any]:
    nothing = {"signature": None, "state": None, "step": np.nan, "error": None}
    try:
        status = run.status()
    except ValueError as error:
        return nothing | {"state": "failed", "error": str(error)}
    return nothing if status is None else {key: getattr(status, key) for key in nothing}


def _flatten(mapping: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _value(value: Any) -> Any:
    return np.nan if value is None else value


def _pair(interval: list[float | None] | None) -> tuple[float, float]:
    return (np.nan, np.nan) if interval is None else (_value(interval[0]), _value(interval[1]))
