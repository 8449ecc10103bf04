"""Judge of the bottleneck: does K < N change the exponent, or training the embedding, which the control has too?"""

from typing import Any

import pandas as pd

from superdyn.analysis.claims.arms import BOTTLENECK, CONTROL, FROZEN, grid_points, label, with_arms
from superdyn.analysis.claims.exact import deviation_row
from superdyn.analysis.claims.row import ClaimRow, finding, reported
from superdyn.analysis.seeds import pool_seeds
from superdyn.config import ClaimConfig


def bottleneck(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """The frozen embedding against its exact curve; the trained one against its K = N control at every (a, b)."""
    frame = with_arms(frame)
    rows = [deviation_row(name, FROZEN, frame[frame["arm"] == FROZEN])]
    changed = []
    for a, b, runs in grid_points(frame):
        pooled = {point["arm"]: point for point in pool_seeds(runs, by=["arm"]).to_dict("records")}
        for arm, exponent in pooled.items():
            rows.append(_reported(name, f"{arm}, {label(a, b)}", exponent, runs))
        if {BOTTLENECK, CONTROL} <= set(pooled):
            changed.append(_differs(pooled[BOTTLENECK], pooled[CONTROL], claim.tolerance))
    share = sum(changed) / len(changed) if changed else float("nan")
    note = (
        f"differs by more than {claim.tolerance:g} and beyond both intervals at {sum(changed)} of {len(changed)} (a, b)"
    )
    summary = finding(name, "share of (a, b) where K < N differs from its control", "α (long window)", share,
                      held=share == 1.0, expected=1.0, note=note)  # fmt: skip
    return [*rows, summary]


def _reported(name: str, condition: str, exponent: dict[Any, Any], runs: pd.DataFrame) -> ClaimRow:
    sequential, rich = runs["alpha_sequential"].iloc[0], runs["alpha_rich"].iloc[0]
    return reported(name, "α (long window)", condition, exponent["alpha_long"], low=exponent["alpha_long_low"],
                    high=exponent["alpha_long_high"], note=f"α_seq {sequential:.2f}, α_rich {rich:.2f}")  # fmt: skip


def _differs(one: dict[Any, Any], other: dict[Any, Any], tolerance: float) -> bool:
    apart = one["alpha_long_low"] > other["alpha_long_high"] or other["alpha_long_low"] > one["alpha_long_high"]
    return bool(apart and abs(one["alpha_long"] - other["alpha_long"]) > tolerance)
