"""Judge of width: the loss that trained-out language models keep above the least one, against d_model and head rank.

β of excess ∝ width^-β is a straight line in logarithms through the widths that were trained out, fitted to each seed: a
width counts where the longest training ends no less than `CONVERGED` of where the shortest does, each with a schedule
of its own. Of several learning rates a width's best counts. The excess is over the least loss of the very tokens that
a run was measured on, so the luck of that draw is gone. Axis legend: `d` dimension (width or rank), `s` seed.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive, reported
from superdyn.analysis.claims.token_exponents import of_excess
from superdyn.analysis.seeds import seed_interval
from superdyn.config import ClaimConfig
from superdyn.runs.record import LEAST_LOSS

WIDTH, RANK, STEPS, RATE = "model.width", "model.decoder.head_rank", "trainer.max_steps", "optimizer.lr"
WIDTHS, RANKS = "d_model", "rank of the unembedding"
CONVERGED = 0.8
LEAST_DIMENSIONS = 3
SPREAD = 0.5
"""A power law's local exponents, between neighbouring dimensions, differ by no more than this."""


class Arm(NamedTuple):
    """Dimensions (d,), excess loss at the end of the longest trainings (s, d), that of the shortest over it (d,)."""

    dimension: Float[np.ndarray, "d"]
    excess: Float[np.ndarray, "s d"]
    shrank_to: Float[np.ndarray, "d"]
    rate: Float[np.ndarray, "d"]

    def converged(self) -> "Arm":
        """The dimensions that were trained out."""
        return self.at(self.shrank_to >= CONVERGED)

    def at(self, keep) -> "Arm":
        """Some of the dimensions."""
        return Arm(self.dimension[keep], self.excess[:, keep], self.shrank_to[keep], self.rate[keep])

    def exponents(self) -> Float[np.ndarray, "s"]:
        """β of every seed; NaN with fewer than two dimensions, or where a loss is not above the least."""
        if len(self.dimension) < 2 or (self.excess <= 0).any():
            return np.full(len(self.excess), np.nan)
        return -np.polyfit(np.log(self.dimension), np.log(self.excess).T, 1)[0]

    def local_exponents(self) -> Float[np.ndarray, "pairs"]:
        """Of the mean over seeds, between neighbouring dimensions."""
        return -np.diff(np.log(self.excess.mean(axis=0))) / np.diff(np.log(self.dimension))


def token_width(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """β of the width and of the rank, and whether they agree over the dimensions that both have."""
    return width_rows(name, claim, frame.assign(excess=frame["loss_final"] - of_excess(frame)[LEAST_LOSS]))


def width_rows(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """The same from a frame that has the excess."""
    factorised = frame[RANK].notna()
    frame = frame.assign(d=frame[RANK].where(factorised, frame[WIDTH]).astype(float))
    arms = {
        label: arm_of(runs) for label, runs in ((WIDTHS, frame[~factorised]), (RANKS, frame[factorised])) if len(runs)
    }
    rows = [row for label, arm in arms.items() for row in _reported(name, label, arm)]
    if WIDTHS in arms:
        rows.append(_width_row(name, claim, arms[WIDTHS]))
    if len(arms) == 2:
        rows.append(_rank_row(name, claim, *(arms[label] for label in (WIDTHS, RANKS))))
    return rows


def arm_of(runs: pd.DataFrame) -> Arm:
    """The arm of runs with columns `d` and `excess`: the longest training, each d at its best learning rate.

    A β of each seed is wanted: the seeds that have most dimensions count, and the dimensions that all of these have.
    """
    mean = runs.groupby(["d", STEPS, RATE], as_index=False)["excess"].mean()
    best = mean.loc[mean.groupby(["d", STEPS])["excess"].idxmin()].set_index("d")
    first, last = best[STEPS].min(), best[STEPS].max()
    short, long = (best[best[STEPS] == steps].sort_index() for steps in (first, last))
    chosen = runs.merge(long[[STEPS, RATE]].reset_index(), on=["d", STEPS, RATE])
    excess = chosen.pivot(index="seed", columns="d", values="excess")
    reached = excess.notna().sum(axis=1)
    excess = excess[reached == reached.max()].dropna(axis=1)
    long, short = long.loc[excess.columns], short.reindex(excess.columns)
    ratio = long["excess"] / short["excess"] if first < last else long["excess"] * np.nan
    return Arm(long.index.to_numpy(float), excess.to_numpy(), ratio.to_numpy(float), long[RATE].to_numpy(float))


def _reported(name: str, label: str, arm: Arm) -> list[ClaimRow]:
    rows = []
    for i, dimension in enumerate(arm.dimension):
        low, high = seed_interval(arm.excess[:, i])
        note = (
            f"{len(arm.excess)} seeds, lr {arm.rate[i]:g}; {arm.shrank_to[i]:.2f} of what the shortest training leaves"
        )
        rows.append(reported(name, "loss above the least, nats", f"{label} {dimension:g}",
                             float(arm.excess[:, i].mean()), low=low, high=high, note=note))  # fmt: skip
    return rows


def _width_row(name: str, claim: ClaimConfig, arm: Arm) -> ClaimRow:
    quantity, out = "β, from excess ∝ d_model^-β", arm.converged()
    if len(out.dimension) < LEAST_DIMENSIONS:
        return inconclusive(name, quantity, _span(WIDTHS, arm), *_not_converged(arm, out), expected=claim.expected)
    beta, local = out.exponents(), out.local_exponents()
    straight = bool(np.ptp(local) <= SPREAD)
    held = straight and abs(beta.mean() - claim.expected) <= claim.tolerance
    low, high = seed_interval(beta)
    doubt = "" if straight else "no power law: "
    note = f"{doubt}local exponents {_range(local)}; {_counted(arm, out)}; held within ±{claim.tolerance:g}"
    return finding(name, quantity, _span(WIDTHS, out), float(beta.mean()), bool(held), expected=claim.expected, low=low,
                   high=high, note=note)  # fmt: skip


def _rank_row(name: str, claim: ClaimConfig, widths: Arm, ranks: Arm) -> ClaimRow:
    """Over the dimensions that both have, each trained out."""
    quantity, shared = "β of the rank minus β of the width", np.intersect1d(widths.dimension, ranks.dimension)
    if not shared.size:
        note = "no rank is also a width"
        return inconclusive(name, quantity, _span(RANKS, ranks), float("nan"), note, expected=0.0)
    widths, ranks = (arm.at(np.isin(arm.dimension, shared)) for arm in (widths, ranks))
    out = (widths.shrank_to >= CONVERGED) & (ranks.shrank_to >= CONVERGED)
    one, other = widths.at(out), ranks.at(out)
    difference = ranks.exponents() - widths.exponents()
    if out.sum() < LEAST_DIMENSIONS:
        return inconclusive(name, quantity, _span(RANKS, ranks), float(difference.mean()),
                            _not_converged(ranks, other)[1], expected=0.0)  # fmt: skip
    difference = other.exponents() - one.exponents()
    low, high = seed_interval(difference)
    local = _range(other.local_exponents())
    note = (
        f"β of the rank {other.exponents().mean():.2f} (local {local}), of the width {one.exponents().mean():.2f}; "
        f"{_counted(ranks, other)}; held within ±{claim.tolerance:g}"
    )
    return finding(name, quantity, _span(RANKS, other), float(difference.mean()),
                   bool(abs(difference.mean()) <= claim.tolerance), expected=0.0, low=low, high=high,
                   note=note)  # fmt: skip


def _not_converged(arm: Arm, out: Arm) -> tuple[float, str]:
    """The exponent of all dimensions all the same, and why it is one of the training."""
    note = f"too few: {_counted(arm, out)}, and {LEAST_DIMENSIONS} are needed; measured is β of all"
    return float(arm.exponents().mean()), note


def _counted(arm: Arm, out: Arm) -> str:
    return f"{len(out.dimension)} of {len(arm.dimension)} converged"


def _span(label: str, arm: Arm) -> str:
    return f"{label} {arm.dimension.min():g} to {arm.dimension.max():g}"


def _range(values: Float[np.ndarray, "pairs"]) -> str:
    return f"{values.min():.2f} to {values.max():.2f}"
