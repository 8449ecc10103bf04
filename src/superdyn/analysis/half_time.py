"""Half-time spectrum: when each feature's loss has halved, and how that time scales with the feature's rank.

t_½(i) ∝ i^z. Sequential learning (K = N) gives z = a, the joint learning of embedding and core z = a + b,
features learned all at once z = 0. A loss with a floor of its own, as the cross-entropy of a bin of tokens, halves
above that floor. Axis legend: `m` measurement, `n` feature.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy import stats

BINS_PER_DECADE = 8
HALVED_SHARE = 0.9
"""The range stops at the first bin with fewer halved features: the ones that did halve there are the quick
ones."""
SETTLED = 0.1
"""A loss has come to its floor when its means over the last two factors of 2 in time differ by at most this share of
what it fell."""
_LEAST_BINS, _REPLICATES = 4, 500


class HalfTimeExponent(NamedTuple):
    """z, its 95 % interval and the first and last feature rank used; NaN and (0, 0) when too few features
    halved."""

    z: float
    z_ci: tuple[float, float]
    features: tuple[int, int]


def half_times(steps: ArrayLike, feature_loss: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "n"]:
    """(n,) time at which each feature's loss first fell to half its first value, NaN where it never did.

    Interpolates log loss in log t between measurements, linearly in t when the earlier one is at t = 0.

    Raises:
        ValueError: the lengths differ, or the first row is not the earliest.
    """
    t, losses = np.asarray(steps, dtype=np.float64), np.asarray(feature_loss, dtype=np.float64)
    if t.size != losses.shape[0]:
        raise ValueError(f"steps has {t.size} entries and feature_loss {losses.shape[0]} rows; allowed: equal")
    if t.size < 2 or np.any(np.diff(t) <= 0):
        raise ValueError("steps are not increasing; allowed: at least two measurements in order of time")
    result = np.full(losses.shape[1], np.nan)
    below = (losses <= 0.5 * losses[0]) & (losses[0] > 0)
    halved = np.flatnonzero(below.any(axis=0))
    row = np.argmax(below[:, halved], axis=0)
    before, after = losses[row - 1, halved], losses[row, halved]
    # A loss that jumps to exactly 0 has no logarithm; the smallest normal number stands for it.
    tiny = np.finfo(np.float64).tiny
    fraction = np.log(2.0 * before / losses[0, halved]) / np.log(before / np.maximum(after, tiny))
    earlier, later = t[row - 1], t[row]
    in_log = earlier * (later / np.where(earlier > 0, earlier, 1.0)) ** fraction
    result[halved] = np.where(earlier > 0, in_log, fraction * later)
    return result


def settled_half_times(steps: ArrayLike, feature_loss: Float[np.ndarray, "m n"]) -> Float[np.ndarray, "n"]:
    """(n,) half-times of what each loss exceeds its floor by, which is not known: its mean over the last factor of 2 in
    time stands for it.

    NaN where the loss had not settled by then, so that this is no floor, or where it ends no lower than it began. An
    exponential decay that just counts as settled gets a half-time 2 % too short.

    Raises:
        ValueError: as `half_times`.
    """
    t, losses = np.asarray(steps, dtype=np.float64), np.asarray(feature_loss, dtype=np.float64)
    first, middle = np.searchsorted(t, t[-1] * np.array([0.25, 0.5]))
    floor = losses[middle:].mean(axis=0)
    found = half_times(t, losses - floor)
    if first == middle:
        return np.full(floor.size, np.nan)
    left = np.abs(losses[first:middle].mean(axis=0) - floor)
    return np.where(left <= SETTLED * (losses[0] - floor), found, np.nan)


def half_time_exponent(
    half_time: Float[np.ndarray, "n"],
    *,
    rank: Float[np.ndarray, "n"] | None = None,
    min_feature: int = 4,
    seed: int = 0,
) -> HalfTimeExponent:
    """Slope of log t_½ on log i from rank `min_feature` on, with medians in bins of log i so that ranks count
    evenly.

    `rank` (n,) are the ranks i, ascending; 1 … n if left out. The first few features are left out by default: their
    half-times are a step or two. The interval is a bootstrap over the bins, which also takes into account that bins of
    few features scatter more.
    """
    rank = np.arange(1.0, half_time.size + 1) if rank is None else rank
    label = np.floor(np.log10(rank) * BINS_PER_DECADE).astype(np.int64)
    x, y, last = [], [], 0
    for bin_label in np.unique(label[rank >= min_feature]):
        members = (label == bin_label) & (rank >= min_feature)
        times = half_time[members]
        if np.mean(np.isfinite(times)) < HALVED_SHARE:
            break
        x.append(np.log(rank[members]).mean())
        # A feature that never halved is late: it counts as infinitely so in the median.
        y.append(np.log(np.median(np.where(np.isfinite(times), times, np.inf))))
        last = int(rank[members][-1])
    if len(x) < _LEAST_BINS:
        return HalfTimeExponent(np.nan, (np.nan, np.nan), (0, 0))
    low, high = _bootstrap(np.array(x), np.array(y), seed)
    return HalfTimeExponent(float(np.polyfit(x, y, 1)[0]), (low, high), (min_feature, last))


def _bootstrap(x: Float[np.ndarray, "d"], y: Float[np.ndarray, "d"], seed: int) -> tuple[float, float]:
    """Interval of the slope by the wild bootstrap: each bin's residual keeps its size and takes a random sign.

    Residuals are divided by 1 − leverage, and the interval is widened by the ratio of Student's to the normal quantile.
    """
    slope, intercept = np.polyfit(x, y, 1)
    centred = x - x.mean()
    leverage = 1.0 / x.size + centred**2 / (centred @ centred)
    residual = (y - slope * x - intercept) / (1.0 - leverage)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=(_REPLICATES, x.size))
    widening = stats.t.ppf(0.975, x.size - 2) / stats.norm.ppf(0.975)
    low, high = widening * np.quantile((signs * residual) @ centred / (centred @ centred), (0.025, 0.975))
    return float(slope + low), float(slope + high)
