"""Judges of what exact theory settles: the exponent of the spectral sum, and the travelling wave z = a.

The expected exponent is that of the exact curve of the same finite N over the same window, not its limit N → ∞, which
N = 1024 does not show when a is near 1.
"""

import pandas as pd

from superdyn.analysis.claims.arms import A, B, label
from superdyn.analysis.claims.row import ClaimRow, check
from superdyn.config import ClaimConfig

EXACT_DEVIATION = 1e-5
"""Largest relative deviation of a noise-free run from its exact curve, over the whole curve."""


def exact_exponents(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Measured long-window exponent against that of the exact curve, for every run."""
    rows = [
        check(
            name,
            "α (long window)",
            label(run[A], run[B]),
            run["alpha_long"],
            run["alpha_null_long"] + claim.expected,
            claim.tolerance,
            low=run["alpha_long_low"],
            high=run["alpha_long_high"],
            note=f"N → ∞: {run['alpha_sequential']:.3f}",
        )
        for run in _in_order(frame)
    ]
    return [*rows, deviation_row(name, "all runs", frame)]


def deviation_row(name: str, condition: str, frame: pd.DataFrame) -> ClaimRow:
    """The worst deviation from the exact curve over all runs and measurements."""
    worst = float(frame["exact_deviation"].max(skipna=False))
    return check(name, "largest |L/L_exact − 1|", condition, worst, 0.0, EXACT_DEVIATION)


def travelling_wave(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Half-time exponent z against a, for every run."""
    return [
        check(
            name,
            "z, from t_½(i) ∝ i^z",
            label(run[A], run[B]),
            run["half_time_exponent"],
            run[A] + claim.expected,
            claim.tolerance,
            low=run["half_time_exponent_low"],
            high=run["half_time_exponent_high"],
        )
        for run in _in_order(frame)
    ]


def _in_order(frame: pd.DataFrame) -> list[dict]:
    return frame.sort_values([A, B, "seed"]).to_dict("records")
