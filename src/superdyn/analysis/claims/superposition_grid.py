"""Judge of the autoencoder's grid: the width exponent β of the final loss, L ∝ K^-β, at each weight decay and skew a.

Liu, Liu, Gore 2025: weight decay moves the model in and out of superposition; in it β is about 1 for every a, out of
it the loss is that of the features left out, Σ_{i>K} p_i ∝ K^-(a−1) for a > 1. Axis legend: `k` width.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from jaxtyping import Float

from superdyn.analysis.claims.arms import A
from superdyn.analysis.claims.row import ClaimRow, finding, inconclusive, reported
from superdyn.analysis.folder import load_curve
from superdyn.config import ClaimConfig

DECAY, WIDTH = "optimizer.weight_decay", "model.width"
SPREAD = 0.5
"""A power law's local exponents differ by no more than this."""
LEAST_WIDTHS = 3
"""Two points lie on a power law whatever they are."""


def superposition_grid(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """β at both ends of the weight decay, each against what is expected there, and how far the embedding moved."""
    shares = [float(load_curve(path)["represented_fraction"].iloc[-1]) for path in frame["path"]]
    return list(grid_rows(name, claim, frame.assign(represented=shares)))


def grid_rows(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> Iterator[ClaimRow]:
    """The same from a frame that has the represented share of every run."""
    least, largest = frame[DECAY].min(), frame[DECAY].max()
    points = frame[[DECAY, A]].drop_duplicates().sort_values([DECAY, A]).itertuples(index=False)
    for decay, a in points:
        runs = frame[(frame[DECAY] == decay) & (frame[A] == a)]
        where, note = f"weight decay {decay:g}, a={a:g}", _represented(runs)
        local = local_exponents(runs)
        yield reported(
            name, "width exponent β", where, width_exponent(runs), low=min(local), high=max(local), note=note
        )
        if least == largest:
            note = "one weight decay only, so that neither end is known"
            yield inconclusive(name, "β in superposition", where, width_exponent(runs), note, expected=claim.expected)
        elif decay == least:
            yield _judged(name, claim, "β in superposition", where, runs, claim.expected)
        elif decay == largest and a > 1:
            yield _judged(name, claim, "β without superposition", where, runs, a - 1)


def _judged(name: str, claim: ClaimConfig, quantity: str, where: str, runs: pd.DataFrame, expected: float) -> ClaimRow:
    """Held where β is as expected and a power law: its local exponents are that of one line."""
    value, local, widths = width_exponent(runs), local_exponents(runs), runs[WIDTH].nunique()
    if widths < LEAST_WIDTHS:
        note = f"finished runs of {widths} widths, and {LEAST_WIDTHS} are needed"
        return inconclusive(name, quantity, where, value, note, expected=expected)
    straight = bool(np.ptp(local) <= SPREAD)
    doubt = "" if straight else "no power law; "
    note = f"{doubt}interval: local exponents between neighbouring widths; held within ±{claim.tolerance:g}"
    held = straight and abs(value - expected) <= claim.tolerance
    return finding(name, quantity, where, value, held, expected=expected, low=min(local), high=max(local), note=note)


def width_exponent(runs: pd.DataFrame) -> float:
    """β by least squares of log L on log K over the mean final loss of each width; NaN with a single one."""
    width, loss = _log_losses(runs)
    return -float(np.polyfit(width, loss, 1)[0]) if len(width) > 1 else float("nan")


def local_exponents(runs: pd.DataFrame) -> list[float]:
    """β between neighbouring widths; a single NaN where there is one width."""
    width, loss = _log_losses(runs)
    return (-np.diff(loss) / np.diff(width)).tolist() or [float("nan")]


def _log_losses(runs: pd.DataFrame) -> tuple[Float[np.ndarray, "k"], Float[np.ndarray, "k"]]:
    loss = runs.groupby(WIDTH)["loss_final"].mean()
    return np.log(loss.index.to_numpy(float)), np.log(loss.to_numpy())


def _represented(runs: pd.DataFrame) -> str:
    share = runs.groupby(WIDTH)["represented"].mean()
    return f"represented {', '.join(f'{value:.2f}' for value in share)} at K = {', '.join(map(str, share.index))}"
