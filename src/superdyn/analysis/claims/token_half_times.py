"""Judge of token half-times: are tokens learned closer together in superposition? t_½ ∝ p^-z, p the frequency.

z = 1 is learning one after another, z = 0 all at once. z of a narrow embedding (K < V) is held against two controls
with room for every token (K = V): the same trained embedding, and a frozen one. Each optimizer is judged by itself,
since Adam's step hardly depends on how often a gradient comes.
"""

import numpy as np
import pandas as pd

from superdyn.analysis.claims.arms import BOTTLENECK, CONTROL, FROZEN, ORTHOGONAL, A, with_arms
from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive, reported
from superdyn.analysis.seeds import seed_interval
from superdyn.config import ClaimConfig

RULE = "optimizer.name"
WIDE_FROZEN = "K = N, frozen embedding"
ARMS = (BOTTLENECK, CONTROL, WIDE_FROZEN, FROZEN)


def token_half_times(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """z of every arm, then per optimizer how much larger that of each control is."""
    frame = with_arms(frame).replace({"arm": {ORTHOGONAL: WIDE_FROZEN}})
    frame = frame.assign(z=frame["half_time_exponent"] / frame[A])
    rows: list[ClaimRow] = []
    verdicts: list[ClaimRow] = []
    for rule, runs in frame.groupby(RULE):
        by_arm = {arm: runs[runs["arm"] == arm].set_index([A, "seed"])["z"] for arm in ARMS}
        rows += [_reported(name, f"{rule}, {arm}", z) for arm, z in by_arm.items() if len(z)]
        for arm in (CONTROL, WIDE_FROZEN):
            if len(by_arm[BOTTLENECK]) and len(by_arm[arm]):
                verdicts.append(_difference(name, claim, f"{rule}, {arm}", by_arm[BOTTLENECK], by_arm[arm]))
    return rows + verdicts


def _reported(name: str, condition: str, z: pd.Series) -> ClaimRow:
    known = z.dropna().to_numpy()
    low, high = seed_interval(known)
    mean = float(known.mean()) if known.size else float("nan")
    return reported(name, "z, from t_½ ∝ p^-z", condition, mean, low=low, high=high,
                    note=f"{known.size} of {len(z)} seeds have one")  # fmt: skip


def _difference(name: str, claim: ClaimConfig, condition: str, narrow: pd.Series, wide: pd.Series) -> ClaimRow:
    quantity, where = "z without superposition minus z in superposition", f"{condition} against K < N"
    absent = int(narrow.isna().sum() + wide.isna().sum())
    if absent:
        note = f"{absent} of {len(narrow) + len(wide)} runs have no z: too few bins have settled at a floor"
        return inconclusive(name, quantity, where, float("nan"), note, expected=claim.expected)
    difference = (wide - narrow).dropna().to_numpy(np.float64)  # of the seeds that both have
    mean = float(difference.mean()) if difference.size else float("nan")
    if difference.size < 2:
        note = f"an interval needs two seeds with both arms, and there are {difference.size}"
        return inconclusive(name, quantity, where, mean, note, expected=claim.expected)
    (low, high), least = seed_interval(difference), claim.expected + claim.tolerance
    if low <= claim.expected and high >= least:
        note = (
            f"the interval has {claim.expected:g} and {least:g}, from where the claim would hold: more seeds are needed"
        )
        return inconclusive(name, quantity, where, mean, note, expected=claim.expected, low=low, high=high)
    note = f"held above {least:g} with an interval above {claim.expected:g}"
    return finding(name, quantity, where, mean, held=low > claim.expected and mean > least, expected=claim.expected,
                   low=low, high=high, note=note)  # fmt: skip
