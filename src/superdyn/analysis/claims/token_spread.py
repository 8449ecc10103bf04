"""Rows that say whether the exponent of the excess is the same under every condition, such as every Zipf exponent.

The spread is the largest of the means over seeds minus the least. Its interval is the bootstrap over seeds of that
difference taken seed by seed, for runs of one seed share their evaluation draws. The two conditions are chosen after
the fact, so noise alone gives a spread above 0.
"""

import pandas as pd

from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive
from superdyn.analysis.claims.token_exponents import LONG, STRICT, by_interval, flatness, is_power_law
from superdyn.analysis.seeds import EXPONENTS, pool_seeds


def spread_rows(name: str, where: str, runs: pd.DataFrame, by: str, tolerance: float) -> list[ClaimRow]:
    """Long-window and strict verdict on spread ≤ tolerance over the values of the column `by`.

    `runs` are those of `of_excess`. Where a condition has no measured exponent in any seed, or there are
    fewer than two conditions, the long-window row is inconclusive.
    """
    return [_long(name, where, runs, by, tolerance), _strict(name, where, runs, by, tolerance)]


def _long(name: str, where: str, runs: pd.DataFrame, by: str, tolerance: float) -> ClaimRow:
    means, quantity = runs.groupby(by)["alpha_long"].mean(), f"spread of {LONG}"
    unknown = ", ".join(f"{value}" for value in means.index[means.isna()])
    if unknown or len(means) < 2:
        why = f"no decay to fit at {by} = {unknown}" if unknown else "fewer than two conditions"
        return inconclusive(name, quantity, where, float("nan"), why, expected=0.0)
    most, least = means.idxmax(), means.idxmin()
    interval = _seed_interval(runs, by, most, least)
    note = f"from {means.min():.2f} at {least} to {means.max():.2f} at {most}; held up to {tolerance:g}"
    allowed = (float("-inf"), tolerance)
    return by_interval(name, quantity, where, float(means.max() - means.min()), interval, allowed, expected=0.0,
                       note=note)  # fmt: skip


def _strict(name: str, where: str, runs: pd.DataFrame, by: str, tolerance: float) -> ClaimRow:
    means = runs.dropna(subset="alpha_strict").groupby(by)["alpha_strict"].mean()
    spread = float(means.max() - means.min()) if len(means) > 1 else float("nan")
    held = is_power_law(runs) and spread <= tolerance
    note = f"{flatness(runs)}; held up to {tolerance:g} with one in every run"
    return finding(name, f"spread of {STRICT}", where, spread, held, expected=0.0, note=note)


def _seed_interval(runs: pd.DataFrame, by: str, most: object, least: object) -> tuple[float, float]:
    """95 % interval of the mean difference over the seeds that both conditions have."""
    more, less = (runs[runs[by] == value].set_index("seed")["alpha_long"] for value in (most, least))
    difference = (more - less).dropna()
    columns = {f"{exponent}{end}": float("nan") for exponent in EXPONENTS for end in ("_low", "_high")}
    frame = pd.DataFrame(dict.fromkeys(EXPONENTS, difference)).assign(all=0, **columns)
    if frame.empty:
        return float("nan"), float("nan")
    pooled = pool_seeds(frame, by=["all"])
    return float(pooled["alpha_long_low"][0]), float(pooled["alpha_long_high"][0])
