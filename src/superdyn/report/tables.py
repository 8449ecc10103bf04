"""The tables of the page: claims, pooled exponents, every run, and those without a result.

A cell carries the text that is read and the value by which its column is sorted. A number that does not exist
is a dash and sorts last; nothing is rounded away to look better than its interval.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superdyn.report.all_runs import records
from superdyn.report.data_law import DataLaw, law_columns
from superdyn.report.study import Study

DASH = "–"
_MORE = ("α strict", "α fitted")


@dataclass(frozen=True)
class Cell:
    """Text, the value that sorts it, and a class for its look (a verdict or a state)."""

    text: str
    key: float | str
    look: str = ""

    @property
    def own_key(self) -> str | None:
        """The key in six digits, None where the text itself sorts the same."""
        key = self.key if isinstance(self.key, str) else f"{self.key:.6g}"
        return None if key == self.text else key


@dataclass(frozen=True)
class Table:
    """Column headings and rows of cells."""

    columns: list[str]
    rows: list[list[Cell]]


def number(value: Any, digits: str = ".3g") -> Cell:
    """A number; missing or not finite is a dash that sorts last."""
    if value is None or isinstance(value, str) or not math.isfinite(value):
        return Cell(DASH if value is None or isinstance(value, str) or math.isnan(value) else str(value), "")
    return Cell(format(value, digits), float(value), "number")


def interval(value: Any, low: Any, high: Any, digits: str = ".3f") -> Cell:
    """A measured number with its interval, sorted by the number: `0.97 [0.95, 0.99]`."""
    middle = number(value, digits)
    if DASH in (middle.text, number(low).text, number(high).text):
        return middle
    return Cell(f"{value:{digits}} [{low:{digits}}, {high:{digits}}]", float(value), "number")


def text(value: Any, look: str = "") -> Cell:
    """Words as they are; what is missing is empty."""
    missing = value is None or (isinstance(value, float) and math.isnan(value))
    return Cell("" if missing else str(value), "" if missing else str(value), look)


def claims_table(root: Path) -> Table | None:
    """The rows of `claims.json`, which `superdyn reproduce` leaves there; None without that file."""
    path = root / "claims.json"
    if not path.exists():
        return None
    rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    rows.sort(key=lambda row: row["verdict"] == "reported")  # verdicts first, then the numbers they rest on
    columns = ["claim", "quantity", "condition", "expected", "measured", "verdict", "kind", "note"]
    return Table(columns, [_claim_row(row) for row in rows])


def exponents_table(study: Study) -> Table:
    """Exponents pooled over the seeds of each condition and (a, b), beside every reference."""
    rows = records(study.pooled)
    laws = [study.law_of(row) for row in rows]
    of_data = law_columns(laws)
    columns = ["condition", *of_data, "runs", "α long window", "null α (K = N)", "α_seq", "α_rich", *_MORE,
               "flat decades", "z", "L_inf / L(0)"]  # fmt: skip
    cells = [law_cells(law, of_data) for law in laws]
    return Table(columns, [_exponent_row(row, of_row) for row, of_row in zip(rows, cells, strict=True)])


def runs_table(study: Study) -> Table:
    """Every run of the sweep, finished or not, with its state and error."""
    found = records(study.frame)
    laws = [DataLaw.of(row) for row in found]
    of_data = law_columns(laws)
    columns = ["run", "state", "condition", *of_data, "seed", "step", "L(end) / L(0)", "α long window",
               "null α (K = N)", *_MORE, "z", "deviation from theory", "error or note"]  # fmt: skip
    rows = [_run_row(row, law_cells(law, of_data)) for row, law in zip(found, laws, strict=True)]
    if len(study.notes) > 1:  # a single one stands above all tables
        columns.append("notes")
        notes = (text(row.get("notes"), "note") for row in found)
        rows = [[*row, note] for row, note in zip(rows, notes, strict=True)]
    return Table(columns, rows)


def unfinished_table(study: Study) -> Table:
    """The runs that gave no result: their state, the step they reached and the error."""
    lost = study.frame.loc[study.frame["state"] != "done"]
    columns = ["run", "state", "step", "error"]
    return Table(
        columns,
        [[text(r["run"]), _state(r), number(r["step"], ".0f"), text(r["error"], "note")] for r in records(lost)],
    )


def _claim_row(row: dict[str, Any]) -> list[Cell]:
    verdict = str(row.get("verdict", ""))
    return [
        text(row.get("claim")),
        text(row.get("quantity"), "phrase"),
        text(row.get("condition"), "phrase"),
        _claim_value(row.get("expected")),
        interval(row.get("measured"), row.get("low"), row.get("high"), ".4g"),
        text(verdict, f"verdict {verdict.lower().split(' ')[0]}"),
        text(row.get("kind")),
        text(row.get("note"), "note"),
    ]


def _claim_value(value: Any) -> Cell:
    return number(value) if isinstance(value, int | float) else text(value)


def law_cells(law: DataLaw, columns: Sequence[str]) -> list[Cell]:
    """What the data are, in the columns of `law_columns`."""
    cells = {"data": text(law.name, "phrase"), "a": number(law.a), "b": number(law.b)}
    return [cells[column] for column in columns]


def _exponent_row(row: dict[str, Any], of_data: list[Cell]) -> list[Cell]:
    return [
        text(row["condition"], "phrase"),
        *of_data,
        number(row["n_runs"], ".0f"),
        _with_interval(row, "alpha_long"),
        number(row["alpha_null_long"], ".3f"),
        number(row["alpha_sequential"], ".3f"),
        number(row["alpha_rich"], ".3f"),
        _with_interval(row, "alpha_strict"),
        _with_interval(row, "alpha"),
        number(row["flat_decades"], ".2f"),
        _with_interval(row, "half_time_exponent"),
        number(row["relative_floor"], ".2e"),
    ]


def _run_row(row: dict[str, Any], of_data: list[Cell]) -> list[Cell]:
    return [
        text(row["run"], "name"),
        _state(row),
        text(row["condition"], "phrase"),
        *of_data,
        number(row["seed"], ".0f"),
        number(row["step"], ".0f"),
        number(row["loss_final"] / row["loss_initial"] if row["loss_initial"] else None, ".2e"),
        _with_interval(row, "alpha_long"),
        number(row["alpha_null_long"], ".3f"),
        _with_interval(row, "alpha_strict"),
        _with_interval(row, "alpha"),
        _with_interval(row, "half_time_exponent"),
        number(row["exact_deviation"], ".1e"),
        text(row["error"] if isinstance(row["error"], str) else row["note"], "note"),
    ]


def _with_interval(row: dict[str, Any], name: str) -> Cell:
    return interval(row[name], row[f"{name}_low"], row[f"{name}_high"])


def _state(row: dict[str, Any]) -> Cell:
    return text(row["state"], f"state {row['state']}")
