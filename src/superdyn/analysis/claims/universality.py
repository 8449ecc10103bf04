"""Judge of universality: is the exponent one number near 1 for every (a, b)? The same test is put to both controls.

Long window: the slope from the end of the first plateau to the floor, the number that a paper quotes; one (a, b) away
from 1 settles it, one without an exponent leaves it open. Strict: only runs whose local slope is flat (spread < 0.1
over a decade) count. b = 0.5, where α_seq = 1 for every a, is no evidence and left out of both verdicts.
"""

import numpy as np
import pandas as pd

from superdyn.analysis.claims.arms import BOTTLENECK, CONTROL, NO_EVIDENCE, ORTHOGONAL, A, B, exponent_row, with_arms
from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive
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
        rows += [exponent_row(name, arm, point) for point in pooled.to_dict("records")]
        evidence = runs[runs[B] != NO_EVIDENCE]
        verdicts += [_long(name, arm, claim, evidence), _strict(name, arm, claim, evidence)]
    return rows + verdicts


def _long(name: str, arm: str, claim: ClaimConfig, runs: pd.DataFrame) -> ClaimRow:
    quantity = "α (long window) near 1 at every (a, b)"
    by_pair = runs.groupby([A, B])["alpha_long"]
    known = by_pair.mean().dropna()
    near = bool(((known - claim.expected).abs() <= claim.tolerance).all())
    mean, numbers = float(known.mean()), {"expected": claim.expected, "low": known.min(), "high": known.max()}
    if near and (known.empty or len(known) < by_pair.ngroups):
        note = f"an exponent at {len(known)} of {by_pair.ngroups} (a, b), b = {NO_EVIDENCE:g} left out"
        return inconclusive(name, quantity, arm, mean, note, **numbers)
    spread, seeds = known.max() - known.min(), by_pair.std().max()
    of_seeds = f", seeds ±{seeds:.2f}" if np.isfinite(seeds) else ""  # of one seed there is no spread
    note = f"mean and range over (a, b); spread {spread:.2f}{of_seeds}; held within ±{claim.tolerance:g}"
    return finding(name, quantity, arm, mean, held=near, note=note, **numbers)


def _strict(name: str, arm: str, claim: ClaimConfig, runs: pd.DataFrame) -> ClaimRow:
    quantity, strict = "α (strict) near 1 in every run", runs["alpha_strict"].dropna()
    near = (strict - claim.expected).abs() <= claim.tolerance
    if runs.empty:
        return inconclusive(name, quantity, arm, float("nan"), f"b = {NO_EVIDENCE:g} only", expected=claim.expected)
    note = f"a flat decade in {len(strict)} of {len(runs)} runs, {int(near.sum())} within ±{claim.tolerance:g}"
    return finding(name, quantity, arm, float(strict.mean()), held=bool(len(strict) == len(runs) and near.all()),
                   expected=claim.expected, low=strict.min(), high=strict.max(), note=note)  # fmt: skip
