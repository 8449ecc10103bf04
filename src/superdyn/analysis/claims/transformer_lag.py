"""Judge of the small transformer: is its exponent one number near 1 for every (a, b), whatever attention has to do?

At lag 0 the blocks may stay idle; at lag 1 only attention can know the target. The bottleneck K < N and its control,
the same trained embedding with K = N, take the same test, each lag and optimizer by itself. Beside every exponent:
α_seq, α_rich and that of the exact K = N curve of the same finite N. b = 0.5, where α_seq = 1 for every a, is no
evidence.
"""

from typing import Any

import numpy as np
import pandas as pd

from superdyn.analysis.claims.arms import BOTTLENECK, CONTROL, NO_EVIDENCE, A, B, exponent_row, with_arms
from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive
from superdyn.analysis.fit import LONG_DECADES
from superdyn.analysis.seeds import pool_seeds
from superdyn.config import ClaimConfig

LAG, RULE = "data.lag", "optimizer.name"


def transformer_lag(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Every pooled exponent, then per lag, optimizer and arm the range over (a, b) with the verdict."""
    rows: list[ClaimRow] = []
    verdicts: list[ClaimRow] = []
    for (lag, rule), runs in with_arms(frame).groupby([LAG, RULE]):
        for arm in (BOTTLENECK, CONTROL):
            part = runs[runs["arm"] == arm]
            if part.empty:
                continue
            where, pooled = f"lag {lag}, {rule}, {arm}", pool_seeds(part, by=[A, B])
            references = part.groupby([A, B])[["alpha_sequential", "alpha_rich", "alpha_null_long"]].mean()
            rows += [_reported(name, where, point, references) for point in pooled.to_dict("records")]
            verdicts.append(_near_one(name, where, claim, part, pooled))
    return rows + verdicts


def _reported(name: str, where: str, point: dict[Any, Any], references: pd.DataFrame) -> ClaimRow:
    sequential, rich, null = references.loc[(point[A], point[B])]
    theory = f"α_seq {sequential:.2f}, α_rich {rich:.2f}, exact K = N over the same window {null:.2f}"
    return exponent_row(name, where, point, theory)


def _near_one(name: str, where: str, claim: ClaimConfig, runs: pd.DataFrame, pooled: pd.DataFrame) -> ClaimRow:
    quantity = "α (long window) near 1 at every (a, b)"
    told = pooled[pooled[B] != NO_EVIDENCE]
    exponents = told["alpha_long"]
    absent = int(exponents.isna().sum())
    if told.empty or absent:
        note = f"no power law could be fitted at {absent} of {len(told)} (a, b)" if len(told) else "b = 0.5 only"
        return inconclusive(name, quantity, where, float(exponents.mean()), note, expected=claim.expected)
    windows = np.log10(runs["long_window_end"] / runs["long_window_start"])
    strict = int((runs["alpha_strict"] - claim.expected).abs().le(claim.tolerance).sum())
    note = (
        f"mean and range over (a, b); held within ±{claim.tolerance:g}; windows of {windows.min():.1f} decades or more "
        f"(a paper's: {LONG_DECADES}); a flat decade in {int(runs['alpha_strict'].notna().sum())} of {len(runs)} runs, "
        f"near {claim.expected:g} in {strict}"
    )
    least, most = claim.expected - claim.tolerance, claim.expected + claim.tolerance
    near = bool(exponents.between(least, most).all())
    away = bool(((told["alpha_long_high"] < least) | (told["alpha_long_low"] > most)).any())
    numbers = {"expected": claim.expected, "low": float(exponents.min()), "high": float(exponents.max())}
    if not near and not away:
        note = f"every interval over seeds allows it: more seeds are needed; {note}"
        return inconclusive(name, quantity, where, float(exponents.mean()), note, **numbers)
    return finding(name, quantity, where, float(exponents.mean()), held=near, note=note, **numbers)
