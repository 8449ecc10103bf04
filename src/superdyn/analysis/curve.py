"""A curve ready for fitting: usable points only, ordered, dense stretches averaged in bins of log t.

Points a fit of logarithms cannot use (not finite, loss <= 0) are dropped and counted, and so are lone ones a
thousand times off their neighbours; the row at t = 0 gives L(0). Where more than 50 points share a decade they are
averaged, never thinned: geometric means with the number of points as weight, and the standard error that the scatter
inside the bin gives. Where the least possible loss is known, the losses are what exceeds it (`excess.py`). Axis legend:
`t` point.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float
from numpy.typing import ArrayLike

from superdyn.analysis.excess import drowned_from

BINS_PER_DECADE = 50
FAR_OFF, STEEPEST = 1e3, 10.0
"""A point further than this factor from the running median over five points is no measurement of the curve, unless the
time to its neighbour is so long that a power law of this exponent comes that far."""


@dataclass(frozen=True)
class Curve:
    """Positive times and losses, square-root-of-count weights, L(0) or None, how many points were dropped, from when on
    the losses cannot be told from the least one, and how many of the dropped points lay far off their neighbours."""

    t: Float[np.ndarray, "t"]
    loss: Float[np.ndarray, "t"]
    weight: Float[np.ndarray, "t"]
    initial: float | None
    n_dropped: int
    drowned: float = math.inf
    n_far_off: int = 0

    def within(self, keep: Bool[np.ndarray, "t"]) -> "Curve":
        """The same curve with fewer points."""
        return replace(self, t=self.t[keep], loss=self.loss[keep], weight=self.weight[keep])


def read_curve(
    t: ArrayLike, loss: ArrayLike, *, least: float | None = None, error: Float[np.ndarray, "n"] | None = None
) -> Curve:
    """Clean, order and bin a curve; of `loss` − `least` where that is given, `error` being its standard error.

    Raises:
        ValueError: `t` and `loss`, or `error`, are not vectors of one length, a time is negative, or `least` is not
            finite.
    """
    times, losses = np.asarray(t, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    if times.ndim != 1 or times.shape != losses.shape:
        raise ValueError(f"t has shape {times.shape} and loss {losses.shape}; allowed: two vectors of equal length")
    if np.any(times < 0):
        raise ValueError(f"t holds {np.nanmin(times):.6g}; allowed: times >= 0")
    if least is not None and not math.isfinite(least):
        raise ValueError(f"least={least}; allowed: a finite loss, or None where it is not known")
    if error is not None and error.shape != times.shape:
        raise ValueError(f"error has shape {error.shape} and t {times.shape}; allowed: two vectors of one length")
    order = np.argsort(times, kind="stable")
    times, losses = times[order], losses[order] - (least or 0.0)
    measured = np.isfinite(times) & np.isfinite(losses)
    usable = measured & (losses >= np.finfo(np.float64).tiny)
    at_zero = losses[usable & (times == 0)]
    keep, later = usable & (times > 0), measured & (times > 0)
    far = _far_off(times[keep], losses[keep])
    binned, value, _, count = bin_decades(times[keep][~far], losses[keep][~far])
    initial = float(at_zero[0]) if at_zero.size else None
    known = None if error is None else error[order][later]
    drowned = math.inf if least is None else drowned_from(times[later], losses[later], known)
    return Curve(binned, value, np.sqrt(count), initial, int(np.sum(~usable) + far.sum()), drowned, int(far.sum()))


def running_median(loss: Float[np.ndarray, "n"]) -> Float[np.ndarray, "n"]:
    """Median of the five points around each, mirrored at the ends; the losses themselves where there are fewer."""
    if loss.size < 5:
        return loss
    return np.median(np.lib.stride_tricks.sliding_window_view(np.pad(loss, 2, mode="reflect"), 5), axis=1)


def _far_off(t: Float[np.ndarray, "n"], loss: Float[np.ndarray, "n"]) -> Bool[np.ndarray, "n"]:
    gap = np.diff(np.log(t))
    nearest = np.minimum(np.append(gap, np.inf), np.insert(gap, 0, np.inf))
    distance = np.abs(np.log(loss) - np.log(running_median(loss)))
    return distance > math.log(FAR_OFF) + STEEPEST * nearest


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
