"""Inversion of a cumulative sum by a guide table (Chen & Asau 1974): a binary search at the cost of a look-up.

The range is cut into equal buckets; where no partial sum falls into a bucket, its answer is known beforehand, and the
few other places are searched. Axis legend: `n` partial sum, `m` place.
"""

import numpy as np
from jaxtyping import Float64, Int64

_BUCKETS_PER_ENTRY = 32
_MOST_BUCKETS = 2**21
_ROUNDING = 8 * np.finfo(np.float64).eps
"""Edges are widened by this factor, so that a place that rounding puts into the next bucket is still answered right."""


class GuideTable:
    """Answers `np.searchsorted(cumulative, x, side="right")` for 0 ≤ x ≤ the last partial sum."""

    def __init__(self, cumulative: Float64[np.ndarray, "n"]) -> None:
        self._cumulative = cumulative
        total = float(cumulative[-1]) if len(cumulative) else 0.0
        buckets = min(_BUCKETS_PER_ENTRY * max(len(cumulative), 1), _MOST_BUCKETS)
        self._scale = buckets / total if total > 0 else 0.0
        edges = np.arange(buckets + 1) * (total / buckets)
        low = np.searchsorted(cumulative, edges[:-1] * (1 - _ROUNDING), side="right")
        high = np.searchsorted(cumulative, edges[1:] * (1 + _ROUNDING), side="right")
        self._answer = np.where(low == high, low, -1)

    def find(self, x: Float64[np.ndarray, "m"]) -> Int64[np.ndarray, "m"]:
        """How many partial sums are at most x."""
        bucket = np.minimum((x * self._scale).astype(np.int64), len(self._answer) - 1)
        found = self._answer[bucket]
        unknown = np.flatnonzero(found < 0)
        found[unknown] = np.searchsorted(self._cumulative, x[unknown], side="right")
        return found
