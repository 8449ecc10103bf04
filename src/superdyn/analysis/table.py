"""`superdyn fit PATH`: exponents of a run folder, a sweep folder, or any CSV with `step` and `loss` columns.

Where a curve has the least possible loss, in a column `least_loss`, they are those of L − L_least; the column `fitted`
of the table says so.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from superdyn.analysis.fit import fit_curve
from superdyn.analysis.folder import existing_runs, load_config, load_curve, result_columns
from superdyn.analysis.result import PowerLawFit, no_fit
from superdyn.analysis.run_result import fit_run
from superdyn.runs.record import EXCESS_ERROR, LEAST_LOSS

POINTS_PER_GROUP = 10
"""A numeric column groups a CSV's rows when it has at least this many rows per value (a seed, a width), unless its
values follow each other in time (an epoch)."""

_CURVE = ("step", "loss")
_KNOWN = (LEAST_LOSS, EXCESS_ERROR)
"""Columns of a CSV that are a part of its curves: those that must be there, and those that may."""

_NOT_FITTED = ("axis", "loss_initial", "loss_final", "alpha_sequential", "alpha_rich", "alpha_null_long")
_NOT_FITTED_PREFIXES = ("half_time", "exact")
"""Columns of a run's result that need more than its curve."""


def fit_table(path: str | Path, *, n_boot: int = 200, seed: int = 0) -> pd.DataFrame:
    """One row per curve: what identifies it (`run`, or the CSV's grouping columns), then the fit.

    A CSV is grouped by every column besides those of the curve (`step`, `loss`, `least_loss`, `excess_error`) that
    holds text or few distinct numbers. `fitted` says whether the exponents are of L or of L − L_least. A run of a sweep
    that has not measured yet has a row without numbers, whose note says so.

    Raises:
        ValueError: `path` is missing, holds no run that has measured, or is a file without the two columns, or a curve
            has several least losses.
    """
    root = Path(path)
    if not root.exists():
        raise ValueError(f"{path} does not exist; allowed: a run folder, a sweep folder or a CSV file")
    if root.is_file():
        return _fit_csv(root, n_boot, seed)
    runs = existing_runs(root)
    measured = {run.name for run in runs if (run.path / "curve.parquet").is_file()} or {runs[0].name}  # which refuses
    rows = []
    for run in runs:
        fit = _fit_run(run.path, n_boot, seed) if run.name in measured else no_fit("no fit: no measurement yet", 0, {})
        rows.append({"run": run.name} | _columns(fit))
    return pd.DataFrame(rows)


def _fit_run(run: Path, n_boot: int, seed: int) -> PowerLawFit:
    return fit_run(load_config(run), load_curve(run), n_boot=n_boot, seed=seed)


def _fit_csv(file: Path, n_boot: int, seed: int) -> pd.DataFrame:
    frame = _read_csv(file)
    by = [str(name) for name in frame if name not in (*_CURVE, *_KNOWN) and _groups(frame, str(name))]
    # Without grouping columns all rows are one group.
    label = frame.groupby(by, dropna=False, sort=False).ngroup() if by else pd.Series(0, index=frame.index)
    rows = []
    for number in label.unique():
        curve = frame.loc[label == number]
        fit = fit_curve(curve, "step", n_boot=n_boot, seed=seed)
        rows.append({name: curve[name].iloc[0] for name in by} | _columns(fit))
    return pd.DataFrame(rows)


def _read_csv(file: Path) -> pd.DataFrame:
    with file.open("rb") as stream:
        if b"\0" in stream.read(4096):
            raise ValueError(f"{file} is not text; allowed: a run folder, a sweep folder or a CSV file")
    try:
        frame = pd.read_csv(file, encoding_errors="replace")
    except pd.errors.EmptyDataError:
        raise ValueError(f"{file} is empty; allowed: CSV with step, loss") from None
    except pd.errors.ParserError as error:  # a line with more fields than the header
        raise ValueError(f"{file} is not a CSV with step, loss: {str(error).strip()}") from None
    missing = [name for name in _CURVE if name not in frame]
    if missing:
        found = ", ".join(map(str, frame.columns[:8]))
        raise ValueError(f"{file} has no column {' and '.join(missing)} (found: {found}); allowed: CSV with step, loss")
    if frame.empty:
        raise ValueError(f"{file} has no row below its header; allowed: CSV with step, loss")
    for name in (*_CURVE, *(name for name in _KNOWN if name in frame)):
        if not pd.api.types.is_numeric_dtype(frame[name]):
            text = frame[name][pd.to_numeric(frame[name], errors="coerce").isna() & frame[name].notna()]
            raise ValueError(f"column {name} of {file} holds text such as {text.iloc[0]!r}; allowed: numbers")
    return frame


def _groups(frame: pd.DataFrame, name: str) -> bool:
    column = frame[name]
    if not pd.api.types.is_numeric_dtype(column):
        return True
    if column.nunique(dropna=False) * POINTS_PER_GROUP > len(column):
        return False
    spans = frame.groupby(name, dropna=False)["step"].agg(["min", "max"]).sort_values("min")
    follow = spans["min"].to_numpy()[1:] > spans["max"].to_numpy()[:-1]
    return len(spans) == 1 or not follow.all()


def _columns(fit: PowerLawFit) -> dict[str, Any]:
    columns = {
        name: value
        for name, value in result_columns(fit.to_dict()).items()
        if name not in _NOT_FITTED and not name.startswith(_NOT_FITTED_PREFIXES)
    }
    return columns | {"form": fit.method.get("form"), "fitted": fit.fitted}
