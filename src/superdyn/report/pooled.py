"""Exponents pooled over seeds, per condition and (a, b): the rows of figures 3 and 4 and of their table."""

from collections.abc import Sequence

import pandas as pd

from superdyn import analysis
from superdyn.analysis.seeds import EXPONENTS
from superdyn.report.conditions import PAIR_KEYS

POOLED_TOO = ("alpha_strict", "half_time_exponent")
"""Measured per run like α, and pooled over seeds by the same rule."""
REFERENCES = ("alpha_null_long", "alpha_sequential", "alpha_rich", "flat_decades", "relative_floor")
"""Averaged over seeds: the same for all of them, or nearly so."""


def pooled_exponents(frame: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """One row per condition and (a, b) with a finished run, in the order of `conditions`, then b, then a.

    Columns: `condition`, a, b, `n_runs`; `alpha`, `alpha_long`, `alpha_strict` and `half_time_exponent` as
    mean, `*_low` and `*_high`; the mean of each of `REFERENCES`.
    """
    by = ["condition", *PAIR_KEYS]
    ends = [f"{name}{end}" for name in (*EXPONENTS, *POOLED_TOO) for end in ("", "_low", "_high")]
    # A sweep's table is a hundred columns wide, and cutting it into groups costs as much for each of them.
    needed = [*by, *dict.fromkeys(ends), *(name for name in REFERENCES if name in frame), "L_inf", "loss_initial"]
    done = frame.loc[frame["state"] == "done", needed]
    done = done.assign(relative_floor=done["L_inf"] / done["loss_initial"])
    pooled = analysis.pool_seeds(done, by=by)
    for name in POOLED_TOO:
        pooled = pooled.merge(_pooled_as_alpha(done, name, by), on=by)
    grouped = done.groupby(by)
    means = grouped[list(REFERENCES)].mean().assign(n_runs=grouped.size()).reset_index()
    pooled = pooled.merge(means, on=by)
    order = {condition: rank for rank, condition in enumerate(conditions)}
    return pooled.sort_values(by[:1] + by[:0:-1], key=lambda c: c.map(order) if c.name == "condition" else c)


def _pooled_as_alpha(done: pd.DataFrame, name: str, by: list[str]) -> pd.DataFrame:
    """`pool_seeds` pools the columns called alpha; this lends it another number under that name."""
    ends = ("", "_low", "_high")
    lent = done.assign(**{f"alpha{end}": done[f"{name}{end}"] for end in ends})
    pooled = analysis.pool_seeds(lent, by=by)
    returned = {f"{name}{end}": pooled[f"alpha{end}"] for end in ends}
    return pd.DataFrame({key: pooled[key] for key in by} | returned)
