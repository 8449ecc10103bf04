"""Final losses over a dimension, the width K or the rank of a factorised unembedding, with the exponent β of L ∝ d^-β.

A line holds the runs that differ in the dimension and the seed alone. β, what it is fitted to and its interval are
those of the judges: for features a straight line through the means over seeds, its interval the local exponents between
neighbouring widths (`superposition_grid`); for tokens, where the loss is that above the least one if that is known, the
best learning rate of each dimension and the longest training, fitted to each seed through the dimensions that were
trained out (`token_width`). Axis legend: `s` seed, `d` dimension.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from superdyn.analysis.claims.superposition_grid import SPREAD, local_exponents, width_exponent
from superdyn.analysis.claims.token_width import LEAST_DIMENSIONS, RANK, RATE, STEPS, WIDTH, Arm, arm_of
from superdyn.analysis.seeds import seed_interval
from superdyn.report.all_runs import records
from superdyn.report.conditions import PAIR_KEYS, condition_label
from superdyn.report.data_law import DataLaw
from superdyn.report.study import Study
from superdyn.report.style import Pair
from superdyn.runs.record import LEAST_LOSS

OUR_LANGUAGES = ("zipf", "bigram")
"""Sources of tokens with frequencies ∝ i^-a."""
N, SOURCE = "data.n_features", "data.tokens.source"


@dataclass(frozen=True)
class WidthLine:
    """The final loss at each dimension, and the exponent of the straight line through those of `fitted`."""

    condition: str
    pair: Pair
    law: DataLaw
    dimension: str
    """`WIDTH` or `RANK`."""
    at: Float[np.ndarray, "d"]
    loss: Float[np.ndarray, "s d"]
    """NaN where a seed has no finished run."""
    beta: float
    interval: tuple[float, float]
    over_seeds: bool
    """Whether the interval is the 95 % one over seeds; else it is the range of the local exponents."""
    straight: bool
    """Whether the local exponents are those of one line, by the rule of the judges."""
    fitted: Bool[np.ndarray, "d"]
    above_least: bool = False
    """Whether the least possible loss was subtracted."""
    converged: Bool[np.ndarray, "d"] | None = None
    """Which dimensions were trained out; None where no shorter training tells."""
    steps: int = 0
    """Of the longest training, where there are shorter ones."""
    shorter: dict[int, tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"]]] = field(default_factory=dict)
    """Dimensions and mean loss of shorter trainings, by their steps."""

    @property
    def mean(self) -> Float[np.ndarray, "d"]:
        """Over seeds."""
        return np.nanmean(self.loss, axis=0)

    @property
    def trained_out(self) -> bool | None:
        """Whether enough dimensions are; None where no shorter training tells."""
        return None if self.converged is None else bool(self.converged.sum() >= LEAST_DIMENSIONS)

    @property
    def range(self) -> Float[np.ndarray, "two d"]:
        """Least and largest seed."""
        return np.array([np.nanmin(self.loss, axis=0), np.nanmax(self.loss, axis=0)])


def width_lines(study: Study) -> list[WidthLine]:
    """The lines of at least three dimensions, in the order of the study's conditions, ranks after widths."""
    done = study.frame.loc[(study.frame["state"] == "done") & (study.frame["loss_final"] > 0)]
    ranks = done[RANK].notna() if RANK in done else pd.Series(False, index=done.index)
    return [*_lines(study, done[~ranks], WIDTH), *_lines(study, done[ranks], RANK)]


def _lines(study: Study, rows: pd.DataFrame, dimension: str) -> Iterator[WidthLine]:
    if not len(rows):
        return
    folded = (dimension, RANK, *((STEPS, RATE) if study.reads_tokens else ()))
    keys = [key for key in study.keys if key not in folded] or ["model.name"]
    labels = [condition_label(dict(zip(keys, values, strict=True))) for values in rows[keys].to_numpy(object)]
    rows = rows.assign(label=labels, d=rows[dimension].astype(float))
    made = _of_tokens if study.reads_tokens else _of_features
    for _, runs in rows.groupby(["label", N, *PAIR_KEYS], sort=False):
        line = made(dimension, runs) if runs["d"].nunique() >= LEAST_DIMENSIONS else None
        if line is not None:
            yield line


def _of_features(dimension: str, runs: pd.DataFrame) -> WidthLine:
    loss = runs.pivot_table(index="seed", columns="d", values="loss_final")
    widths = runs.assign(**{WIDTH: runs["d"]})
    local = local_exponents(widths)
    return WidthLine(
        *_where(runs), dimension, loss.columns.to_numpy(float), loss.to_numpy(), width_exponent(widths),
        (min(local), max(local)), over_seeds=False, straight=bool(np.ptp(local) <= SPREAD),
        fitted=np.ones(loss.shape[1], dtype=bool),
    )  # fmt: skip


def _of_tokens(dimension: str, runs: pd.DataFrame) -> WidthLine | None:
    least = _least(runs)
    known = bool(least.notna().all())
    runs = runs.assign(excess=runs["loss_final"] - (least if known else 0.0))
    if runs.groupby("d")[STEPS].nunique().max() == 1:  # a length of its own for each dimension
        runs = runs.assign(**{STEPS: runs[STEPS].max()})
    reached = runs.groupby(STEPS)["d"].nunique()
    runs = runs[runs[STEPS].isin(reached.index[reached >= LEAST_DIMENSIONS])]
    if not len(runs):
        return None
    longest, *shorter = sorted(set(runs[STEPS]), reverse=True)
    arm = arm_of(runs)
    out = arm.converged()
    enough = len(out.dimension) >= LEAST_DIMENSIONS
    used = out if enough else arm
    betas, local = used.exponents(), _local(used)
    several = len(betas) > 1
    return WidthLine(
        *_where(runs), dimension, arm.dimension, arm.excess, float(betas.mean()),
        seed_interval(betas) if several else (min(local), max(local)), over_seeds=several,
        straight=bool(np.ptp(local) <= SPREAD), fitted=np.isin(arm.dimension, used.dimension), above_least=known,
        converged=np.isin(arm.dimension, out.dimension) if shorter else None, steps=int(longest),
        shorter={int(steps): _mean(arm_of(runs[runs[STEPS] == steps])) for steps in shorter},
    )  # fmt: skip


def _least(runs: pd.DataFrame) -> pd.Series:
    """The least loss of each run on the tokens that it was measured on; NaN where that is not known."""
    return runs[LEAST_LOSS].astype(float)


def _where(runs: pd.DataFrame) -> tuple[str, Pair, DataLaw]:
    first = records(runs)[0]
    return str(first["label"]), (float(first[PAIR_KEYS[0]]), float(first[PAIR_KEYS[1]])), DataLaw.of(first)


def _local(arm: Arm) -> list[float]:
    above = bool((arm.excess > 0).all())
    return arm.local_exponents().tolist() if above else [float("nan")]


def _mean(arm: Arm) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
    return arm.dimension, arm.excess.mean(axis=0)
