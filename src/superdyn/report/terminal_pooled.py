"""The exponents of a sweep pooled over seeds, as a table for a terminal: the report's own, without its last columns."""

from pathlib import Path

from rich.table import Table
from rich.text import Text

from superdyn.analysis.excess import EXCESS, WHOLE, known_least
from superdyn.report.study import load_study
from superdyn.report.tables import exponents_table

_OF_DATA = ("condition", "data", "a", "b")
_COLUMNS = (*_OF_DATA, "runs", "α long window", "α strict", "null α (K = N)", "α_seq", "α_rich", "z")


def pooled_rows(path: Path) -> Table | None:
    """Exponents of a sweep pooled over seeds, beside their references; None where no condition has two seeds."""
    study = load_study(path)
    if not study.runs or study.pooled["n_runs"].max() < 2:
        return None
    pooled = exponents_table(study)
    fitted = " and of ".join(sorted({WHOLE if known_least(run.curve) is None else EXCESS for run in study.runs}))
    null = "" if all(run.reads_tokens for run in study.runs) else "; null: K = N, same N, by gradient descent"
    title = f"pooled over seeds, exponents of {fitted}{null}"
    table = Table(title=title, title_justify="left")
    for column in pooled.columns:
        if column in _COLUMNS:
            table.add_column(column, justify="left" if column in ("condition", "data") else "right")
    for row in pooled.rows:
        cells = zip(pooled.columns, row, strict=True)
        table.add_row(*(Text(cell.text) for column, cell in cells if column in _COLUMNS))
    return table
