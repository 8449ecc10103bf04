"""Reads what runs wrote: one run's curve and spectrum, or a whole sweep as one table with a row per run.

A sweep folder holds run folders one level down, each known by its `config.yaml`; a run folder itself is read as a sweep
of one. Axis legend: `m` measurement, `n` feature.
"""

import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as parquet
import yaml
from jaxtyping import Float32, Int64

from superdyn.config import RunConfig

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
    "half_time_exponent",
    "alpha_sequential",
    "alpha_rich",
    "alpha_null_long",
    "exact_deviation",
)


def load_sweep(path: str | Path) -> pd.DataFrame:
    """One row per run: `run`, `path`, `signature`, `state`, `step`, `error`, every configuration key, every result.

    An interval becomes two columns, `*_low` and `*_high`; what a run does not have yet is NaN (None for text).

    Raises:
        ValueError: `path` holds no run.
    """
    runs = run_folders(path)
    if not runs:
        raise ValueError(
            f"{path} holds no run; allowed: a run folder (with config.yaml) or a folder of such folders"
        )
    return pd.DataFrame([_row(run) for run in runs])


def run_folders(path: str | Path) -> list[Path]:
    """The run folders of a sweep in order of name, or the folder itself when it is a run."""
    root = Path(path)
    if (root / "config.yaml").is_file():
        return [root]
    return sorted(config.parent for config in root.glob("*/config.yaml"))


def load_config(run: str | Path) -> dict[str, Any]:
    """The run's configuration with dotted keys."""
    return dict(_flatten(_parse((Path(run) / "config.yaml").read_text())))


def load_curve(run: str | Path) -> pd.DataFrame:
    """The run's curve: `step`, `lr_time`, `loss` and one column per superposition measure."""
    return parquet.read_table(_existing(run, "curve.parquet")).to_pandas()


def load_spectrum(run: str | Path) -> tuple[Int64[np.ndarray, "m"], Float32[np.ndarray, "m n"]]:
    """Steps (m,) and per-feature losses (m, n) float32."""
    table = parquet.read_table(_existing(run, "spectrum.parquet")).combine_chunks()
    steps = table.column("step").to_numpy().astype(np.int64)
    values = table.column("loss").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return steps, values.astype(np.float32, copy=False).reshape(len(steps), -1)


def result_columns(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result as flat table columns: intervals split in two, None as NaN."""
    columns = {key: _value(result.get(key)) for key in _RESULT_COLUMNS}
    for key, name in _INTERVALS.items():
        columns[f"{name}_low"], columns[f"{name}_high"] = _pair(result.get(key))
    columns["window_start"], columns["window_end"] = _pair(result.get("window"))
    columns["long_window_start"], columns["long_window_end"] = _pair(result.get("long_window"))
    return columns


def _row(run: Path) -> dict[str, Any]:
    mapping = _parse((run / "config.yaml").read_text())
    status = _json(run / "status.json")
    known = {
        "run": run.name,
        "path": str(run),
        "signature": RunConfig.from_mapping(mapping).signature(),
        "state": status.get("state"),
        "step": _value(status.get("step")),
        "error": status.get("error"),
    }
    return known | dict(_flatten(mapping)) | result_columns(_json(run / "result.json"))


def _json(path: Path) -> dict[str, Any]:
    """The file's content; a run that has not come so far has no such file and no content."""
    return json.loads(path.read_bytes()) if path.is_file() else {}


def _parse(text: str) -> dict[str, Any]:
    """The YAML mapping. Top-level sections are parsed one by one: most are the same text in all runs of a sweep."""
    sections: list[str] = []
    for line in text.splitlines(keepends=True):
        if sections and line[0] in " -#\n":
            sections[-1] += line
        else:
            sections.append(line)
    merged: dict[str, Any] = {}
    for section in sections:
        merged |= _section(section)
    return merged


@lru_cache(maxsize=4096)
def _section(text: str) -> dict[str, Any]:
    return yaml.load(text, Loader=yaml.CSafeLoader) or {}


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


def _existing(run: str | Path, name: str) -> Path:
    file = Path(run) / name
    if not file.is_file():
        raise ValueError(f"{run} has no {name}; allowed: the folder of a run that has measured at least once")
    return file
