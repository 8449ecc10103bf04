"""Judge of the Zipf exponent: does the exponent of the loss depend on the frequencies of tokens, in superposition?

The control has a dimension for every token (width ≥ V) and is put to the same test. Learning token by token, at rates
∝ p_v, would give α_seq = (a − 1)/a for a > 1 (`superdyn.theory`, b = 0) and no power law below.
"""

import pandas as pd

from superdyn.analysis.claims.row import ClaimRow
from superdyn.analysis.claims.token_exponents import exponent_rows, of_excess
from superdyn.analysis.claims.token_spread import spread_rows
from superdyn.config import ClaimConfig
from superdyn.theory import sequential_exponent

ZIPF = "data.data_exponent"
SUPERPOSITION, CONTROL = "width < V", "width ≥ V (control)"


def token_zipf(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Exponents at every a, then the spread over a with its verdict, in superposition and in the control."""
    return zipf_rows(name, claim, of_excess(frame))


def zipf_rows(name: str, claim: ClaimConfig, runs: pd.DataFrame) -> list[ClaimRow]:
    """The rows, from runs whose exponents are those of the excess."""
    squeezed = runs["model.width"] < runs["data.n_features"]
    rows: list[ClaimRow] = []
    verdicts: list[ClaimRow] = []
    for where, own in ((SUPERPOSITION, runs[squeezed]), (CONTROL, runs[~squeezed])):
        if own.empty:
            continue
        rows += exponent_rows(name, own, ZIPF, lambda a, where=where: f"{where}, a={a:g}", _sequential)
        verdicts += spread_rows(name, where, own, ZIPF, claim.expected + claim.tolerance)
    return rows + verdicts


def _sequential(a: float) -> str:
    return f"token by token {sequential_exponent(a, 0.0):.2f}" if a > 1 else "token by token: no power law"
