"""Tables for a terminal: the claims with their verdicts, and fitted exponents."""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from superdyn.analysis.claims.row import ClaimRow
from superdyn.analysis.folder import result_columns

_PIPED_WIDTH = 200
_FIT_COLUMNS = frozenset(result_columns({}))
_LOOKS = {
    "pass": "green",
    "held": "green",
    "fail": "bold red",
    "missing": "bold red",
    "not held": "yellow",
    "inconclusive": "cyan",
}


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


def fit_rows(frame: pd.DataFrame, title: str) -> Table:
    """What `analysis.fit_table` found, an exponent and its interval in one cell; `--json` has every column."""
    named = [str(column) for column in frame.columns if column in ("run", "fit") or column not in _FIT_COLUMNS]
    table = Table(title=title, title_justify="left")
    for column in (*named, "α [95 %]", "α long window [95 %]", "α strict [95 %]", "L_inf", "t0", "window"):
        table.add_column(column, overflow="fold", justify="left" if column in named else "right")
    table.add_column("flat decades", justify="right")
    table.add_column("note")
    for row in frame.to_dict("records"):
        exponents = [_interval(row, name) for name in ("alpha", "alpha_long", "alpha_strict")]
        span = f"{_number(row['window_start'])} … {_number(row['window_end'])}"
        numbers = [_number(row[name]) for name in ("L_inf", "t0")]
        cells = [*(_number(row[name]) for name in named), *exponents, *numbers, span]
        table.add_row(*map(Text, cells), _number(row["flat_decades"]), Text(str(row["note"] or "")))
    return table


def _interval(row: Mapping[Hashable, Any], name: str) -> str:
    if math.isnan(row[name]):
        return "–"
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}, {row[f'{name}_high']:.3f}]"


def _number(value: Any) -> str:
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4g}"
    return "–" if value is None else str(value)
