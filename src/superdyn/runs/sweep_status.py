"""What became of every point of a sweep: done, running, failed, interrupted or missing.

Reads the list of points and two small files per run; a run that says it is running while its process is gone or
silent is shown as interrupted, and one that other code made is marked (`drift.py`).
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from rich.console import Group
from rich.table import Table
from rich.text import Text

from superdyn.runs.adopt import refusals
from superdyn.runs.drift import Drift, done_line, drift_of, environments
from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_folder import read_points, run_folders

RowState = Literal["done", "running", "failed", "interrupted", "missing"]
ROW_STATES: tuple[RowState, ...] = get_args(RowState)
STYLES = {"done": "green", "running": "cyan", "failed": "red", "interrupted": "yellow", "missing": "magenta"}

MOST_DONE_LISTED = 100
"""More done runs than this are counted and not listed: what is left to do must stay in sight."""


@dataclass(frozen=True)
class RunRow:
    """One point of a sweep; numbers are None where nothing was written, `heartbeat_age` is in seconds."""

    name: str
    signature: str | None
    state: RowState
    step: int | None = None
    max_steps: int | None = None
    error: str | None = None
    heartbeat_age: float | None = None


def sweep_status(path: str | Path) -> list[RunRow]:
    """One row per point: those of the list in launch order, then run folders that it does not list.

    Args:
        path: a sweep folder or a run folder.

    Raises:
        ValueError: `path` is not a folder or holds neither run nor list of points.
    """
    present = {folder.name: folder for folder in run_folders(path)}
    root = Path(path)
    rows = []
    for point in read_points(root):
        folder = present.pop(point.folder, None) or RunFolder(root / point.folder)
        rows.append(_row(folder, point.signature))
    rows += [_row(folder, None) for folder in present.values()]
    if not rows:
        raise ValueError(f"path={str(path)!r} holds no run; allowed: a run folder, with config.yaml, or a sweep folder")
    return rows


def _row(folder: RunFolder, signature: str | None) -> RunRow:
    try:
        status = folder.status()
    except ValueError as error:  # one damaged file must not hide the other runs
        return RunRow(folder.name, signature, "failed", error=str(error))
    if status is None:
        return RunRow(folder.name, signature, "missing")
    stale = status.is_stale()
    return RunRow(
        name=folder.name,
        signature=status.signature,
        state="interrupted" if stale else status.state,
        step=status.step,
        max_steps=status.max_steps,
        error="its process died without reporting an error" if stale else status.error,
        heartbeat_age=time.time() - status.heartbeat,
    )


def status_table(path: str | Path) -> Group:
    """The rows of `sweep_status` for a terminal, with the count of each state as title.

    More than a hundred done runs are only counted. Where other code than this process runs made a run, a column names
    it; where a run's configuration can no longer be read, a line below says why.
    """
    rows = sweep_status(path)
    folders = run_folders(path)
    recorded = environments(folders)
    drifts = drift_of(recorded)
    counts = Counter(row.state for row in rows)
    title = ", ".join(f"{counts[state]} {state}" for state in ROW_STATES if counts[state]) or "no runs"
    below = _remarks(rows, drifts, refusals(folders, recorded))
    table = Table(title=f"{len(rows)} runs: {title}", title_justify="left", box=None, pad_edge=False)
    if counts["done"] > MOST_DONE_LISTED:
        rows = [row for row in rows if row.state != "done"]
    marked = any(row.name in drifts for row in rows)
    for column in ("run", "state", "step", "last heartbeat", *(["made by"] if marked else []), "error"):
        table.add_column(column, overflow="fold", justify="right" if column == "step" else "left")
    for row in rows:
        step = "" if row.step is None else f"{row.step:,} / {row.max_steps:,}"
        age = "" if row.heartbeat_age is None else _age(row.heartbeat_age)
        state = f"[{STYLES[row.state]}]{row.state}[/]"
        made_by = [Text(drifts[row.name].then if row.name in drifts else "")] if marked else []
        table.add_row(Text(row.name), state, step, age, *made_by, Text(row.error or ""))
    return Group(table, *map(Text, below))


def _remarks(rows: list[RunRow], drifts: Mapping[str, Drift], refused: Mapping[str, str]) -> list[str]:
    """What a reader must know beside the rows."""
    done = {row.name for row in rows if row.state == "done"}
    lines = [f"the {len(done)} done runs are not listed"] if len(done) > MOST_DONE_LISTED else []
    if drifted := [drift for name, drift in drifts.items() if name in done]:
        lines.append(done_line(drifted, len(done)))
    if refused:
        name, why = next(iter(refused.items()))
        lines.append(f"{len(refused)} described by an older schema that this version cannot read, e.g. {name}: {why}")
    return lines


def _age(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
