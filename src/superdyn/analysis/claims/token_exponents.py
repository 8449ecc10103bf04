"""Rows of exponents of the excess L − L_least over seeds: the numbers, and whether they are near what is expected.

L_least is that of the very tokens on which a run was measured, so the excess goes to 0 for a model that can say every
P(·|x); what is left to one that cannot is L_inf − L_least.

Long window: the slope from the end of the first plateau to the floor or the end, whatever the curve does in between.
Strict: runs whose local slope is flat (spread < 0.1 over a decade); one run without such a decade is no power law, and
then the strict row does not hold whatever the long window says. Long-window verdicts wait for the interval over seeds.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive, reported
from superdyn.analysis.seeds import pool_seeds
from superdyn.runs.record import LEAST_LOSS

LONG, STRICT = "α of L − L_least (long window)", "α of L − L_least (strict)"


def of_excess(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame of a sweep, whose exponents are all those of the excess.

    Raises:
        ValueError: the least loss of a run is not known: its tokens are real text, or it was trained before its curve
            recorded it.
    """
    unknown = frame.loc[frame[LEAST_LOSS].isna(), "run"].tolist()
    if unknown:
        raise ValueError(
            f"run={unknown[0]!r} (one of {len(unknown)}): its result has no {LEAST_LOSS}; allowed are runs on "
            "synthetic tokens by this version, so train older runs again in another folder"
        )
    return frame


def exponent_rows(
    name: str, runs: pd.DataFrame, by: str, describe: Callable[[Any], str], note: Callable[[Any], str] = lambda _: ""
) -> list[ClaimRow]:
    """One reported row for every value of the column `by`; `runs` are those of `of_excess`."""
    rows = []
    for point in pool_seeds(runs, by=[by]).to_dict("records"):
        own = runs[runs[by] == point[by]]
        notes = [f"{point['n_alpha_long']} seeds", _window(own), _floor(own, point["alpha"]), note(point[by])]
        rows.append(reported(name, LONG, describe(point[by]), point["alpha_long"], low=point["alpha_long_low"],
                             high=point["alpha_long_high"], note="; ".join(filter(None, notes))))  # fmt: skip
    return rows


def near_rows(name: str, condition: str, runs: pd.DataFrame, expected: float, tolerance: float) -> list[ClaimRow]:
    """Long-window and strict verdict on |α − expected| ≤ tolerance, for runs that differ in their seed only."""
    (point,) = pool_seeds(runs.assign(condition=condition), by=["condition"]).to_dict("records")
    several = point["n_alpha_long"] > 1  # a lone seed has the interval of its own curve, blind to other seeds
    interval = (point["alpha_long_low"], point["alpha_long_high"]) if several else (np.nan, np.nan)
    strict = runs["alpha_strict"].dropna()
    near = (strict - expected).abs() <= tolerance
    note = f"mean over {point['n_alpha_long']} of {len(runs)} seeds; held within ±{tolerance:.2g}"
    return [
        by_interval(name, LONG, condition, point["alpha_long"], interval,
                    (expected - tolerance, expected + tolerance), expected=expected, note=note),
        finding(name, STRICT, condition, float(strict.mean()), held=is_power_law(runs) and bool(near.all()),
                expected=expected, low=float(strict.min()), high=float(strict.max()),
                note=f"{flatness(runs)}, {int(near.sum())} within ±{tolerance:.2g}"),
    ]  # fmt: skip


def by_interval(
    name: str,
    quantity: str,
    condition: str,
    measured: float,
    interval: tuple[float, float],
    allowed: tuple[float, float],
    *,
    expected: float,
    note: str,
) -> ClaimRow:
    """Held where the whole interval lies in the allowed range, not held where none of it does, else inconclusive."""
    (low, high), numbers = interval, {"expected": expected, "low": interval[0], "high": interval[1]}
    if allowed[0] <= low and high <= allowed[1]:
        return finding(name, quantity, condition, measured, True, note=note, **numbers)
    if high < allowed[0] or low > allowed[1]:
        return finding(name, quantity, condition, measured, False, note=note, **numbers)
    why = "only a part of the interval is inside" if low <= high else "nothing to fit, or a single seed"
    return inconclusive(name, quantity, condition, measured, f"{why}; {note}", **numbers)


def is_power_law(runs: pd.DataFrame) -> bool:
    """Whether every run has a flat decade."""
    return bool(len(runs)) and bool(runs["alpha_strict"].notna().all())


def flatness(runs: pd.DataFrame) -> str:
    """How many runs have a flat decade, in words."""
    found = f"a flat decade in {int(runs['alpha_strict'].notna().sum())} of {len(runs)} runs"
    return found if is_power_law(runs) else f"no power law: {found}"


def _window(runs: pd.DataFrame) -> str:
    decades = np.log10(runs["long_window_end"] / runs["long_window_start"])
    flat = runs["flat_decades"]
    return f"window {decades.mean():.1f} decades, {flat.min():.1f} to {flat.max():.1f} of them flat"


def _floor(runs: pd.DataFrame, alpha: float) -> str:
    return f"fitted α {alpha:.2f} above L_least + {(runs['L_inf'] - runs[LEAST_LOSS]).mean():.2g}"
