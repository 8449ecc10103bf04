"""Exponents of what a language model's loss exceeds the least possible one by: L(τ) − L_least = L_inf + C (τ + t0)^-α.

L_least is exact, that of the very tokens on which the run was measured (`features/tokens/floors.py`), so the excess
goes to 0 for a model that can say every P(·|x); what is left to one that cannot is the fitted L_inf.
Time is the lr-time. A straight line (α long) is cut where a floor drowns the excess, not where it begins to bend it.
Axis legend: `t` measurement.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from superdyn.analysis.fit import fit_power_law
from superdyn.analysis.folder import load_curve, result_columns
from superdyn.analysis.result import PowerLawFit
from superdyn.config import RunConfig
from superdyn.runs.folder import RunFolder

FITTED = (
    *(f"{name}{end}" for name in ("alpha", "alpha_long", "alpha_strict") for end in ("", "_low", "_high")),
    *("L_inf", "flat", "flat_decades", "long_window_start", "long_window_end", "note"),
)
"""Columns of a sweep's frame that become those of the excess."""


class Excess(NamedTuple):
    """lr-time (t,), loss minus least loss (t,), and that least loss."""

    time: Float[np.ndarray, "t"]
    loss: Float[np.ndarray, "t"]
    least: float


def least_loss(run: str) -> float:
    """The least possible mean loss on the run's evaluation tokens.

    Raises:
        ValueError: the law of its next token is not known (files, or a language that looks back further).
    """
    from superdyn.features.token_source import language  # here, because reading files needs no torch
    from superdyn.features.token_stream import evaluation_tokens
    from superdyn.features.tokens.floors import NextTokenLaw

    config = RunConfig.from_mapping(RunFolder(run).config() or {})
    if config.data.tokens is None or config.data.tokens.source == "files":
        raise ValueError(f"run={run!r}: the least loss of its data is not known; allowed are runs on synthetic tokens")
    return NextTokenLaw(language(config.data)).least_loss_of(evaluation_tokens(config), config.loss)  # pyright: ignore[reportArgumentType]


def excess(run: str) -> Excess:
    """The run's curve above its least loss."""
    curve, least = load_curve(run), least_loss(run)
    return Excess(curve["lr_time"].to_numpy(np.float64), curve["loss"].to_numpy(np.float64) - least, least)


def excess_fit(run: str) -> PowerLawFit:
    """The fit of the excess by the rules that hold for every loss."""
    time, loss, _ = excess(run)
    return fit_power_law(time, loss)


def with_excess_exponents(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame of a sweep with the exponents of the excess in the place of those of the loss."""
    fits = pd.DataFrame([result_columns(excess_fit(path).to_dict()) for path in frame["path"]], index=frame.index)
    return frame.assign(**{name: fits[name] for name in FITTED})
