"""Judge of the horizon: does the exponent come nearer to one number with longer training and with more features?

Every run is fitted several times, as if it had ended at T, T/4 and T/16 of its steps; the exponent is that of the long
window. The verdict is that of the longest training of the largest N, for K < N and for its K = N control alike: are the
exponents of all (a, b) one number, and is it the expected one? b = 0.5, where α_seq = 1 for every a, is no evidence.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from superdyn.analysis.claims.arms import NO_EVIDENCE, A, B, exponent_row, with_arms
from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive, reported
from superdyn.analysis.fit import fit_curve
from superdyn.analysis.folder import load_curve
from superdyn.analysis.seeds import pool_seeds
from superdyn.config import ClaimConfig

N, STEPS, HORIZON = "data.n_features", "trainer.max_steps", "horizon"
SHORTER = (1 / 16, 1 / 4)
REPLICATES = 20
"""Bootstrap draws of a shortened curve, of which only the exponent is used; its interval is that over seeds."""


def universality_horizon(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Per arm, N and horizon the range of exponents over (a, b); of the last of them every exponent and a verdict."""
    return list(horizon_rows(name, claim, with_horizons(frame)))


def with_horizons(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per run and horizon, with the `alpha_long` of the run's curve up to there."""
    cut = []
    for run in frame.to_dict("records"):
        curve = load_curve(run["path"])
        for horizon in (int(share * run[STEPS]) for share in SHORTER):
            fit = fit_curve(curve[curve["step"] <= horizon], "lr_time", n_boot=REPLICATES)
            low, high = fit.alpha_long_ci
            cut.append(run | {HORIZON: horizon, "alpha_long": fit.alpha_long,
                              "alpha_long_low": low, "alpha_long_high": high})  # fmt: skip
    return pd.concat([pd.DataFrame(cut), frame.assign(**{HORIZON: frame[STEPS]})], ignore_index=True)


def horizon_rows(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> Iterator[ClaimRow]:
    """The rows from a frame with a row per run and horizon."""
    pooled = pool_seeds(with_arms(frame), by=["arm", N, HORIZON, A, B])
    last = pooled[N].max()
    for (arm, n, horizon), points in pooled.groupby(["arm", N, HORIZON]):
        final = horizon == pooled.loc[pooled[N] == n, HORIZON].max()
        if n == last and final:
            yield from (exponent_row(name, f"{arm}, N={n}", point) for point in points.to_dict("records"))
            yield from _verdicts(name, claim, f"{arm}, N={n}, {horizon:,} steps", points[points[B] != NO_EVIDENCE])
        else:
            alpha, where = points["alpha_long"], f"{arm}, N={n}, {horizon:,} steps"
            yield reported(name, "α (long window)", where, alpha.mean(), low=alpha.min(), high=alpha.max(),
                           note=_spread(alpha))  # fmt: skip


def _verdicts(name: str, claim: ClaimConfig, where: str, points: pd.DataFrame) -> Iterator[ClaimRow]:
    """Whether the exponents are one number, and whether that is the expected one."""
    alpha = points["alpha_long"]
    spread, distance = alpha.max() - alpha.min(), (alpha - claim.expected).abs().max()
    note = f"{_spread(alpha)}; held within {claim.tolerance:g}"
    complete = bool(len(alpha) and alpha.notna().all())
    one = "spread of α (long window) over (a, b)"
    yield _verdict(name, one, where, spread, bool(spread > claim.tolerance), complete, expected=0.0, note=note)
    every, near = "α (long window) near 1 at every (a, b)", {"low": alpha.min(), "high": alpha.max()}
    away = bool(distance > claim.tolerance)
    yield _verdict(name, every, where, alpha.mean(), away, complete, expected=claim.expected, note=note, **near)


def _verdict(
    name: str, quantity: str, where: str, measured: float, away: bool, complete: bool, *, note: str, **numbers: float
) -> ClaimRow:
    """One (a, b) away settles the question; held needs an exponent at every (a, b)."""
    if away or complete:
        return finding(name, quantity, where, measured, held=not away, note=note, **numbers)
    return inconclusive(name, quantity, where, measured, note, **numbers)


def _spread(alpha: pd.Series) -> str:
    known = int(np.isfinite(alpha).sum())
    missing = "" if known == len(alpha) else f", an exponent at {known} of {len(alpha)} (a, b)"
    return f"mean and range over (a, b); spread {alpha.max() - alpha.min():.2f}{missing}"
