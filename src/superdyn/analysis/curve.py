"""A curve ready for fitting: usable points only, ordered, dense stretches averaged in bins of log t.

Points a fit of logarithms cannot use (not finite, loss <= 0) are dropped and counted; the row at t = 0 gives
L(0). Where more than 50 points share a decade they are averaged, never thinned: geometric means with the
number of points as weight, and the standard error that the scatter inside the bin gives. Where the least possible
loss is known, the losses are what exceeds it (`excess.py`). Axis legend: `t` point.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from superdyn.analysis.excess import drowned_from

BINS_PER_DECADE = 50


@dataclass(frozen=True)
class Curve:
    """Positive times and losses, square-root-of-count weights, L(0) or None, how many points were dropped, and from
    when on the losses cannot be told from the least one."""

    t: Float[np.ndarray, "t"]
    loss: Float[np.ndarray, "t"]
    weight: Float[np.ndarray, "t"]
    initial: float | None
    n_dropped: int
    drowned: float = math.inf

    def within(self, keep: Bool[np.ndarray, "t"]) -> "Curve":
        """The same curve with fewer points."""
        return replace(self, t=self.t[keep], loss=self.loss[keep], weight=self.weight[keep])


def read_curve(
    t: ArrayLike, loss: ArrayLike, *, least: float | None = None, error: Float[np.ndarray, "n"] | None = None
) -> Curve:
    """Clean, order and bin a curve; of `loss` − `least` where that is given, `error` being its standard error.

    Raises:
        ValueError: `t` and `loss` are not two vectors of one length, or a time is negative.
    """
    times, losses = np.asarray(t, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    if times.ndim != 1 or times.shape != losses.shape:
        raise ValueError(f"t has shape {times.shape} and loss {losses.shape}; allowed: two vectors of equal length")
    if np.any(times < 0):
        raise ValueError(f"t holds {times.min():.6g}; allowed: times >= 0")
    order = np.argsort(times, kind="stable")
    times, losses = times[order], losses[order] - (least or 0.0)
    measured = np.isfinite(times) & np.isfinite(losses)
    usable = measured & (losses > 0)
    at_zero = losses[usable & (times == 0)]
    keep, later = usable & (times > 0), measured & (times > 0)
    binned, value, _, count = bin_decades(times[keep], losses[keep])
    initial = float(at_zero[0]) if at_zero.size else None
    known = None if error is None else error[order][later]
    drowned = math.inf if least is None else drowned_from(times[later], losses[later], known)
    return Curve(binned, value, np.sqrt(count), initial, int(np.sum(~usable)), drowned)


def bin_decades(
    t: Float[np.ndarray, "n"], loss: Float[np.ndarray, "n"], *, bins_per_decade: int = BINS_PER_DECADE
) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "t"], Float[np.ndarray, "t"], Float[np.ndarray, "t"]]:
    """Averages in bins of log t: times, losses, standard errors of the losses (NaN for one point), counts.

    `t` must be positive and in order. Points sparser than the bins come back unchanged.
    """
    if t.size == 0:
        return t, loss, loss, loss
    log_t, log_loss = np.log(t), np.log(loss)
    # Half a bin of offset keeps a grid of exactly this density at one point a bin.
    label = np.floor((log_t - log_t[0]) / np.log(10.0) * bins_per_decade + 0.5).astype(np.int64)
    _, member, count = np.unique(label, return_inverse=True, return_counts=True)
    mean_t = np.bincount(member, log_t) / count
    mean = np.bincount(member, log_loss) / count
    scatter = np.bincount(member, (log_loss - mean[member]) ** 2)
    several = count > 1
    error = np.full(count.size, np.nan)
    error[several] = np.sqrt(scatter[several] / (count[several] - 1) / count[several])
    first = np.concatenate([[0], np.cumsum(count)[:-1]])
    # A lone point keeps its exact value: exp(log x) would change its last bit.
    times = np.where(several, np.exp(mean_t), t[first])
    losses = np.where(several, np.exp(mean), loss[first])
    return times, losses, losses * error, count.astype(np.float64)
