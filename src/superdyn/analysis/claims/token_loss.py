"""Judge of the loss of a language model: 1/3 under softmax and cross-entropy, about 1 under squared errors?

`claim.expected` is the exponent under cross-entropy, `claim.tolerance` a share of the expected exponent.
"""

import pandas as pd

from superdyn.analysis.claims.row import ClaimRow
from superdyn.analysis.claims.token_exponents import exponent_rows, near_rows, of_excess
from superdyn.config import ClaimConfig

SQUARED_ERROR = 1.0
"""The exponent that the literature expects of a squared error."""


def token_loss(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Exponents of every loss, then the verdict on each against what is expected of it."""
    return loss_rows(name, claim, of_excess(frame))


def loss_rows(name: str, claim: ClaimConfig, runs: pd.DataFrame) -> list[ClaimRow]:
    """The rows, from runs whose exponents are those of the excess."""
    rows = exponent_rows(name, runs, "loss", _words)
    for loss, own in runs.groupby("loss"):
        expected = claim.expected if loss == "cross_entropy" else SQUARED_ERROR
        rows += near_rows(name, _words(str(loss)), own, expected, claim.tolerance * expected)
    return rows


def _words(loss: str) -> str:
    return {"cross_entropy": "cross-entropy", "probability_error": "squared error of probabilities",
            "logit_error": "squared error of logits"}[loss]  # fmt: skip
