"""`superdyn fit PATH`: exponents of a run folder, a sweep folder, or any CSV with `step` and `loss`
columns."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from superdyn.analysis.evaluated import time_axis
from superdyn.analysis.fit import fit_power_law
from superdyn.analysis.folder import existing_runs, load_config, load_curve, result_columns
from superdyn.analysis.result import PowerLawFit

POINTS_PER_GROUP = 10
"""A numeric column groups a CSV's rows when it has at least this many rows per value (a seed, a width)."""

_NOT_FITTED = ("axis", "loss_initial", "loss_final", "alpha_sequential", "alpha_rich", "alpha_null_long")
_NOT_FITTED_PREFIXES = ("half_time", "exact")
"""Columns of a run's result that need more than its curve."""


def fit_table(path: str | Path, *, n_boot: int = 200, seed: int = 0) -> pd.DataFrame:
    """One row per curve: what identifies it (`run`, or the CSV's grouping columns), then the fit.

    A CSV is grouped by every column besides `step` and `loss` that holds text or few distinct numbers.

    Raises:
        ValueError: `path` is missing, holds no run, or is a file without the two columns.
    """
    root = Path(path)
    if not root.exists():
        raise ValueError(f"{path} does not exist; allowed: a run folder, a sweep folder or a CSV file")
    if root.is_file():
        return _fit_csv(root, n_boot, seed)
    rows = [{"run": run.name} | _columns(_fit_run(run.path, n_boot, seed)) for run in existing_runs(root)]
    return pd.DataFrame(rows)


def _fit_run(run: Path, n_boot: int, seed: int) -> PowerLawFit:
    curve = load_curve(run)
    return fit_power_law(curve[time_axis(load_config(run))], curve["loss"], n_boot=n_boot, seed=seed)


def _fit_csv(file: Path, n_boot: int, seed: int) -> pd.DataFrame:
    frame = _read_csv(file)
    by = [str(name) for name in frame if name not in ("step", "loss") and _groups(frame[str(name)])]
    # Without grouping columns all rows are one group.
    label = frame.groupby(by, dropna=False, sort=False).ngroup() if by else pd.Series(0, index=frame.index)
    rows = []
    for number in label.unique():
        members = np.flatnonzero(label == number)
        curve = {name: frame[name].to_numpy()[members] for name in (*by, "step", "loss")}
        fit = fit_power_law(curve["step"], curve["loss"], n_boot=n_boot, seed=seed)
        rows.append({name: curve[name][0] for name in by} | _columns(fit))
    return pd.DataFrame(rows)


def _read_csv(file: Path) -> pd.DataFrame:
    with file.open("rb") as stream:
        if b"\0" in stream.read(4096):
            raise ValueError(f"{file} is not text; allowed: a run folder, a sweep folder or a CSV file")
    frame = pd.read_csv(file, on_bad_lines="skip", encoding_errors="replace")
    missing = [name for name in ("step", "loss") if name not in frame]
    if missing:
        found = ", ".join(map(str, frame.columns[:8]))
        raise ValueError(f"{file} has no column {' and '.join(missing)} (found: {found}); allowed: CSV with step, loss")
    for name in ("step", "loss"):
        if not pd.api.types.is_numeric_dtype(frame[name]):
            raise ValueError(f"column {name} of {file} holds text such as {frame[name].iloc[0]!r}; allowed: numbers")
    return frame


def _groups(column: pd.Series) -> bool:
    if not pd.api.types.is_numeric_dtype(column):
        return True
    return column.nunique(dropna=False) * POINTS_PER_GROUP <= len(column)


def _columns(fit: PowerLawFit) -> dict[str, Any]:
    columns = {
        name: value
        for name, value in result_columns(fit.to_dict()).items()
        if name not in _NOT_FITTED and not name.startswith(_NOT_FITTED_PREFIXES)
    }
    return columns | {"form": fit.method.get("form")}
