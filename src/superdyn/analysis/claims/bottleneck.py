"""Judge of the bottleneck: does K < N change the exponent, or training the embedding, which the control has too?"""

import math
from typing import Any

import pandas as pd

from superdyn.analysis.claims.arms import BOTTLENECK, CONTROL, FROZEN, grid_points, label, with_arms
from superdyn.analysis.claims.exact import deviation_row
from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive, reported
from superdyn.analysis.seeds import pool_seeds
from superdyn.config import ClaimConfig


def bottleneck(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """The frozen embedding against its exact curve; the trained one against its K = N control at every (a, b)."""
    frame = with_arms(frame)
    frozen = frame[frame["arm"] == FROZEN]
    rows = [deviation_row(name, FROZEN, frozen)] if len(frozen) else []
    changed: list[bool | None] = []
    for a, b, runs in grid_points(frame):
        pooled = {point["arm"]: point for point in pool_seeds(runs, by=["arm"]).to_dict("records")}
        for arm, exponent in pooled.items():
            rows.append(_reported(name, f"{arm}, {label(a, b)}", exponent, runs))
        if {BOTTLENECK, CONTROL} <= set(pooled):
            changed.append(_differs(pooled[BOTTLENECK], pooled[CONTROL], claim.tolerance))
    return [*rows, _summary(name, claim, changed)]


def _summary(name: str, claim: ClaimConfig, changed: list[bool | None]) -> ClaimRow:
    """Held where every (a, b) differs; one that has no exponent on both sides leaves the others' word open."""
    quantity, where = "share of (a, b) where K < N differs from its control", "α (long window)"
    known = [differs for differs in changed if differs is not None]
    share = sum(known) / len(known) if known else float("nan")
    if all(known) and len(known) < max(1, len(changed)):
        note = f"both have an exponent at {len(known)} of {len(changed)} (a, b)"
        return inconclusive(name, quantity, where, share, note, expected=1.0)
    note = f"differs by more than {claim.tolerance:g} and beyond both intervals at {sum(known)} of {len(known)} (a, b)"
    return finding(name, quantity, where, share, held=all(known), expected=1.0, note=note)


def _reported(name: str, condition: str, exponent: dict[Any, Any], runs: pd.DataFrame) -> ClaimRow:
    sequential, rich = runs["alpha_sequential"].iloc[0], runs["alpha_rich"].iloc[0]
    return reported(name, "α (long window)", condition, exponent["alpha_long"], low=exponent["alpha_long_low"],
                    high=exponent["alpha_long_high"], note=f"α_seq {sequential:.2f}, α_rich {rich:.2f}")  # fmt: skip


def _differs(one: dict[Any, Any], other: dict[Any, Any], tolerance: float) -> bool | None:
    """None where one of them has no exponent."""
    if math.isnan(one["alpha_long"] + other["alpha_long"]):
        return None
    apart = one["alpha_long_low"] > other["alpha_long_high"] or other["alpha_long_low"] > one["alpha_long_high"]
    return bool(apart and abs(one["alpha_long"] - other["alpha_long"]) > tolerance)
