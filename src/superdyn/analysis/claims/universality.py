"""Judge of universality: is the exponent one number near 1 for every (a, b)? The same test is put to both controls.

Long window: the slope from the end of the first plateau to the floor, the number that a paper quotes. Strict: only runs
whose local slope is flat (spread < 0.1 over a decade) count. b = 0.5, where α_seq = 1 for every a, is no evidence.
"""

import pandas as pd

from superdyn.analysis.claims.arms import BOTTLENECK, CONTROL, ORTHOGONAL, A, B, label, with_arms
from superdyn.analysis.claims.row import ClaimRow, finding, reported
from superdyn.analysis.seeds import pool_seeds
from superdyn.config import ClaimConfig


def universality(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Every pooled exponent, then per arm the range over (a, b) with the verdict, long-window and strict."""
    frame = with_arms(frame)
    rows: list[ClaimRow] = []
    verdicts: list[ClaimRow] = []
    for arm in (BOTTLENECK, CONTROL, ORTHOGONAL):
        runs = frame[frame["arm"] == arm]
        if runs.empty:
            continue
        pooled = pool_seeds(runs, by=[A, B])
        rows += [_reported(name, arm, point) for point in pooled.to_dict("records")]
        verdicts += [_long(name, arm, claim, runs, pooled), _strict(name, arm, claim, runs)]
    return rows + verdicts


def _reported(name: str, arm: str, point: dict) -> ClaimRow:
    return reported(name, "α (long window)", f"{arm}, {label(point[A], point[B])}", point["alpha_long"],
                    low=point["alpha_long_low"], high=point["alpha_long_high"],
                    note=f"{point['n_alpha_long']} seeds")  # fmt: skip


def _long(name: str, arm: str, claim: ClaimConfig, runs: pd.DataFrame, pooled: pd.DataFrame) -> ClaimRow:
    exponents = pooled["alpha_long"]
    seeds = runs.groupby([A, B])["alpha_long"].std().max()
    return finding(
        name,
        "α (long window) near 1 at every (a, b)",
        arm,
        float(exponents.mean()),
        held=bool(((exponents - claim.expected).abs() <= claim.tolerance).all()),
        expected=claim.expected,
        low=float(exponents.min()),
        high=float(exponents.max()),
        note=f"mean and range over (a, b); spread {exponents.max() - exponents.min():.2f}, seeds ±{seeds:.2f}; "
        f"held within ±{claim.tolerance:g}",
    )


def _strict(name: str, arm: str, claim: ClaimConfig, runs: pd.DataFrame) -> ClaimRow:
    strict = runs["alpha_strict"].dropna()
    near = (strict - claim.expected).abs() <= claim.tolerance
    return finding(
        name,
        "α (strict) near 1 in every run",
        arm,
        float(strict.mean()) if len(strict) else float("nan"),
        held=bool(len(strict) == len(runs) and near.all()),
        expected=claim.expected,
        low=float(strict.min()) if len(strict) else float("nan"),
        high=float(strict.max()) if len(strict) else float("nan"),
        note=f"a flat decade in {len(strict)} of {len(runs)} runs, {int(near.sum())} within ±{claim.tolerance:g}",
    )
