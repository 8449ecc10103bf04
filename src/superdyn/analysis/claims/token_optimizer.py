"""Judge of the update rule: does the exponent of a language model's loss depend on it, each at a rate of its own?

Rules are compared in the lr-time, which at a constant learning rate is the step but for a factor.
"""

import pandas as pd

from superdyn.analysis.claims.row import ClaimRow
from superdyn.analysis.claims.token_exponents import exponent_rows, of_excess
from superdyn.analysis.claims.token_spread import spread_rows
from superdyn.config import ClaimConfig

RULE = "optimizer.name"


def token_optimizer(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Exponents under every rule, then the spread over rules with its verdict."""
    return optimizer_rows(name, claim, of_excess(frame))


def optimizer_rows(name: str, claim: ClaimConfig, runs: pd.DataFrame) -> list[ClaimRow]:
    """The rows, from runs whose exponents are those of the excess."""
    rates = {str(rule): own["optimizer.lr"].iloc[0] for rule, own in runs.groupby(RULE)}
    rows = exponent_rows(name, runs, RULE, str, lambda rule: f"lr {rates[rule]:g}")
    return [*rows, *spread_rows(name, ", ".join(rates), runs, RULE, claim.expected + claim.tolerance)]
