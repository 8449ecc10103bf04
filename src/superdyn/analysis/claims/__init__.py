"""Judges of claims: functions from the finished runs of an experiment to rows of the claim table.

A judge is `judge(name, claim, frame) -> list[ClaimRow]`, `frame` being `load_sweep`'s with the experiment's finished
runs. `claim.judge` names one of ours or a user's own as `package.module:function`.
"""

from collections.abc import Callable, Sequence

import pandas as pd

from superdyn.analysis.claims.acceleration import acceleration
from superdyn.analysis.claims.bottleneck import bottleneck
from superdyn.analysis.claims.ceiling import ceiling
from superdyn.analysis.claims.embedding_decay import embedding_decay
from superdyn.analysis.claims.exact import exact_exponents, travelling_wave
from superdyn.analysis.claims.row import ClaimRow
from superdyn.analysis.claims.superposition_grid import superposition_grid
from superdyn.analysis.claims.token_half_times import token_half_times
from superdyn.analysis.claims.token_loss import token_loss
from superdyn.analysis.claims.token_optimizer import token_optimizer
from superdyn.analysis.claims.token_width import token_width
from superdyn.analysis.claims.token_zipf import token_zipf
from superdyn.analysis.claims.transformer_lag import transformer_lag
from superdyn.analysis.claims.universality import universality
from superdyn.analysis.claims.universality_controls import universality_controls
from superdyn.analysis.claims.universality_horizon import universality_horizon
from superdyn.config import ClaimConfig
from superdyn.config.targets import described, resolve_target

Judge = Callable[[str, ClaimConfig, pd.DataFrame], list[ClaimRow]]

JUDGES: dict[str, Judge] = {
    "acceleration": acceleration,
    "bottleneck": bottleneck,
    "ceiling": ceiling,
    "embedding_decay": embedding_decay,
    "exact_exponents": exact_exponents,
    "superposition_grid": superposition_grid,
    "token_loss": token_loss,
    "token_optimizer": token_optimizer,
    "token_zipf": token_zipf,
    "token_half_times": token_half_times,
    "token_width": token_width,
    "transformer_lag": transformer_lag,
    "travelling_wave": travelling_wave,
    "universality": universality,
    "universality_controls": universality_controls,
    "universality_horizon": universality_horizon,
}

__all__ = ["ClaimRow", "judge"]


def judge(name: str, claim: ClaimConfig, frame: pd.DataFrame, signatures: Sequence[str]) -> list[ClaimRow]:
    """The rows of one claim; runs that are not done are named in a `missing` row and left out.

    Raises:
        ValueError: `claim.judge` names no judge, one that may not be named, or one that raises or gives no rows.
    """
    done = frame[frame["signature"].isin(signatures) & (frame["state"] == "done")]
    own = done.drop_duplicates("signature")  # a copy of a run folder is no second seed
    rows = _judged(name, claim, own) if len(own) else []
    absent = len(signatures) - len(own)
    if absent:
        note = "superdyn status shows why; superdyn retry trains them"
        rows.append(
            ClaimRow(name, "runs not done", claim.statement, float(absent), "missing", claim.kind, 0.0, note=note)
        )
    return rows


def _judged(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    found, again = _find(claim.judge), "; the runs are kept, and the same command judges them again"
    try:
        rows = found(name, claim, frame)
    except Exception as error:
        if claim.judge in JUDGES:
            raise
        raise ValueError(f"claim.judge={claim.judge!r}: {described(error)}{again}.") from error
    if not isinstance(rows, list) or not all(isinstance(row, ClaimRow) for row in rows):
        raise ValueError(f"claim.judge={claim.judge!r}: must return a list of ClaimRow{again}.")
    return rows


def _find(name: str) -> Judge:
    if name in JUDGES:
        return JUDGES[name]
    if ":" not in name:
        raise ValueError(
            f"claim.judge={name!r}: must be one of {', '.join(JUDGES)}, or your own package.module:function."
        )
    return resolve_target("claim.judge", name)
