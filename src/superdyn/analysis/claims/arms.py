"""The arms of the comparison: trained embedding with K < N, its control with K = N, and the orthogonal K = N student.

A claim about superposition needs the control with the same embedding, initialisation and training but room for every
feature; without it a change that training the embedding brings would be credited to the bottleneck.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from superdyn.analysis.claims.row import ClaimRow, reported
from superdyn.analysis.folder import load_curve

BOTTLENECK = "K < N, trained embedding"
CONTROL = "K = N, trained embedding (control)"
ORTHOGONAL = "K = N, identity embedding"
FROZEN = "K < N, frozen embedding"

A, B = "data.data_exponent", "data.importance_exponent"
NO_EVIDENCE = 0.5
"""The b at which α_seq = 1 for every a."""


def with_arms(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column `arm`."""
    squeezed = frame["model.width"] < frame["data.n_features"]
    trained = frame["model.train_encoder"].astype(bool)
    names = np.select(
        [squeezed & trained, ~squeezed & trained, squeezed & ~trained],
        [BOTTLENECK, CONTROL, FROZEN],
        ORTHOGONAL,
    )
    return frame.assign(arm=names)


def grid_points(frame: pd.DataFrame) -> Iterator[tuple[float, float, pd.DataFrame]]:
    """(a, b, runs) over the grid, in order."""
    pairs = frame[[A, B]].drop_duplicates().sort_values([A, B]).itertuples(index=False)
    for a, b in pairs:
        yield a, b, frame[(frame[A] == a) & (frame[B] == b)]


def by_arm(runs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The runs of each arm."""
    return {str(arm): part for arm, part in runs.groupby("arm")}


def label(a: float, b: float) -> str:
    """How a grid point is named in the table."""
    return f"a={a:g}, b={b:g}"


def exponent_row(name: str, where: str, point: Mapping[Any, Any], *notes: str) -> ClaimRow:
    """The long-window exponent of one (a, b), a row of `pool_seeds`, beside a verdict."""
    return reported(name, "α (long window)", f"{where}, {label(point[A], point[B])}", point["alpha_long"],
                    low=point["alpha_long_low"], high=point["alpha_long_high"],
                    note="; ".join([f"{point['n_alpha_long']} seeds", *notes]))  # fmt: skip


def relative_curve(path: str) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "t"]]:
    """Learning-rate time and L/L(0) of a run, the row at time 0 left out."""
    curve = load_curve(path)
    time, loss = curve["lr_time"].to_numpy(), curve["loss"].to_numpy()
    return time[1:], loss[1:] / loss[0]


def time_to_reach(path: str, level: float) -> float:
    """Learning-rate time at which L/L(0) first falls to `level`, log-interpolated; NaN if it never does."""
    time, loss = relative_curve(path)
    below = loss <= level
    if not below.any():
        return float("nan")
    i = int(np.argmax(below))
    if i == 0:
        return float(time[0])
    x, y = np.log(time[i - 1 : i + 1]), np.log(loss[i - 1 : i + 1])
    return float(np.exp(x[0] + (np.log(level) - y[0]) / (y[1] - y[0]) * (x[1] - x[0])))
