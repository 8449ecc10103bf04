"""Every run of a sweep in one table, those without a result included, so that a report hides none.

`analysis.load_sweep` knows the runs that have a configuration; the states and the points that have left no
trace come from `runs.sweep_status`, which also sees that a process is gone.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from superdyn import analysis
from superdyn.analysis.folder import result_columns
from superdyn.report.conditions import PAIR_KEYS
from superdyn.runs.sweep_status import RunRow, sweep_status

NO_CURVE = "finished, but its curve.parquet is missing"


def load_table(path: Path) -> pd.DataFrame:
    """One row per point: the columns of `analysis.load_sweep` with up-to-date `state`, `step`, `error`.

    Raises:
        ValueError: `path` is not a folder, or neither a run nor a manifest is in it.
    """
    states = sweep_status(path)
    if not states:
        raise ValueError(f"{path} holds no run; allowed: a run folder (with config.yaml) or a folder of such folders")
    table = pd.DataFrame([_facts(state) for state in states])
    known = analysis.load_sweep(path) if analysis.run_folders(path) else pd.DataFrame({"run": []}, dtype=object)
    wanted = ["path", *PAIR_KEYS, "seed", *result_columns({})]
    known = known.reindex(columns=list(dict.fromkeys([*known.columns, *wanted])))
    joined = table.merge(known.drop(columns=["state", "step", "error"], errors="ignore"), on="run", how="left")
    bare = (joined["state"] == "done") & ~joined["path"].map(_has_curve)
    joined.loc[bare, ["state", "error"]] = ["failed", NO_CURVE]
    return joined


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as plain mappings from column to value."""
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def _facts(row: RunRow) -> dict[str, object]:
    return {"run": row.name, "state": row.state, "step": row.step, "error": row.error}


def _has_curve(path: object) -> bool:
    return isinstance(path, str) and (Path(path) / "curve.parquet").is_file()
