"""Tables for a terminal: the claims with their verdicts, and any frame of fits."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from superdyn.analysis.claims.row import ClaimRow

_PIPED_WIDTH = 200
_LOOKS = {"pass": "green", "held": "green", "fail": "bold red", "missing": "bold red", "not held": "yellow"}


def console() -> Console:
    """Standard output, wide enough for our tables where it is a file or a pipe."""
    terminal = Console()
    return terminal if terminal.is_terminal else Console(width=_PIPED_WIDTH)


def claim_table(rows: Sequence[ClaimRow]) -> Table:
    """The rows with a verdict: what was measured where, the expected and the measured value with its interval.

    The numbers behind a verdict are in `claims.json` and in the report.
    """
    table = Table(title="claims", title_justify="left")
    for column in ("claim", "quantity", "condition"):
        table.add_column(column)
    for column in ("expected", "measured", "interval"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    table.add_column("note")
    for row in rows:
        if row.verdict == "reported":
            continue
        interval = "" if math.isnan(row.low) else f"{_number(row.low)} … {_number(row.high)}"
        verdict = Text(row.verdict, style=_LOOKS.get(row.verdict, ""))
        texts = [Text(part) for part in (row.claim, row.quantity, row.condition)]
        table.add_row(*texts, _number(row.expected), _number(row.measured), interval, verdict, Text(row.note))
    return table


def frame_table(frame: pd.DataFrame, title: str) -> Table:
    """A frame as a table; numbers to four digits, what is missing as a dash."""
    table = Table(title=title, title_justify="left")
    for column in frame.columns:
        table.add_column(str(column), overflow="fold")
    for row in frame.itertuples(index=False):
        table.add_row(*(Text(_number(value)) for value in row))
    return table


def _number(value: Any) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4g}"
    return "–" if value is None else str(value)
