"""The table of evaluated models: what was measured on what, and the exponents."""

from typing import Any

from superdyn.report.study import Run, Study
from superdyn.report.tables import Cell, Table, interval, number, text


def evaluations_table(study: Study) -> Table:
    """One row per evaluated model."""
    columns = ["model", "parameters", "V", "k", "revisions", "first step", "last step", "tokens", "context", "L first",
               "L last", "α long window", "α fitted", "α strict", "L_inf", "z", "time", "note"]  # fmt: skip
    return Table(columns, [_row(run) for run in study.evaluations])


def _row(run: Run) -> list[Cell]:
    row, steps = run.row, run.curve["step"]
    return [
        text(row["condition"], "name"),
        _whole(row["evaluation.parameters"]),
        _whole(row["evaluation.vocabulary_size"]),
        _whole(row["evaluation.width"]),
        _whole(len(steps)),
        _whole(steps.iloc[0]),
        _whole(steps.iloc[-1]),
        _whole(row["evaluation.windows"] * row["evaluation.context"]),
        _whole(row["evaluation.context"]),
        number(row["loss_initial"], ".4f"),
        number(row["loss_final"], ".4f"),
        *(
            interval(row[name], row[f"{name}_low"], row[f"{name}_high"])
            for name in ("alpha_long", "alpha", "alpha_strict")
        ),
        number(row["L_inf"], ".3f"),
        interval(row["half_time_exponent"], row["half_time_exponent_low"], row["half_time_exponent_high"], ".2f"),
        text("τ" if row["axis"] == "lr_time" else "step"),
        text(row["error"] if isinstance(row["error"], str) else row["note"], "note"),
    ]


def _whole(value: Any) -> Cell:
    return number(float(value), ",.0f")
