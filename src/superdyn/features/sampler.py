"""Samples of the data: sparse vectors x with x_n = v with probability p_n, else 0, independently over n.

Dense: one uniform u a cell; active if u < p_n, and then u/p_n is uniform and gives the value. Sparse, exact:
a cell receives Poisson(-log(1 - p_n)) points and is active if it has one, P = 1 - e^{log(1 - p_n)} = p_n; one
Poisson count serves a group of samples, and the cost follows the active features, not N. Every draw is a
function of (seed, stream, step, sample). Axis legend: `t` step, `s` sample, `n` feature, `m` point.
"""

import math
from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64, Int64
from numpy.typing import DTypeLike
from scipy.special import pdtr, pdtrc

from superdyn.config import DataConfig, RunConfig
from superdyn.features.generator import BLOCK_WORDS, Stream, uniforms
from superdyn.features.guide import GuideTable
from superdyn.features.probabilities import feature_probabilities
from superdyn.features.values import value_law

SMALLEST = 2.0**-54
"""Stands for a uniform of exactly 0 (a multiple of 2^-53 below 2^-53), which a quantile may not accept."""

GROUP = 64
"""Samples that share one Poisson count: few spare words a sample; a power of two, so that u·64 is exact."""


def groups_touched(samples: int) -> int:
    """Most groups that as many neighbouring samples of one step lie in: a batch may begin within a group."""
    # Batches begin at multiples of what their size and a group's have in common.
    return -(-(GROUP - math.gcd(samples, GROUP) + samples) // GROUP)


def group_blocks(cap: int, certain: int) -> int:
    """Blocks of words of a group: its count, places and values of points, values of each sample's certain features."""
    return -(-(1 + 2 * cap + GROUP * certain) // BLOCK_WORDS)


class Points(NamedTuple):
    """Active cells in index/value form, (m,) each; where a cell occurs twice the last value counts."""

    rows: Int64[np.ndarray, "m"]
    features: Int64[np.ndarray, "m"]
    values: Float64[np.ndarray, "m"]

    def distinct(self, n_features: int) -> "Points":
        """One point a cell, sorted by row, then feature."""
        cell = self.rows * n_features + self.features
        last = len(cell) - 1 - np.unique(cell[::-1], return_index=True)[1]
        return Points(self.rows[last], self.features[last], self.values[last])


class Sampler(ABC):
    """Draws for one seed; `points` is what a kind of sampler defines, the rest follows."""

    def __init__(self, data: DataConfig, seed: int) -> None:
        self.n_features = data.n_features
        self.batch_size = data.samples_per_step
        self.seed = seed
        self.law = value_law(data.value_law)
        self.probabilities = feature_probabilities(data.n_features, data.data_exponent, data.density)

    @abstractmethod
    def points(self, stream: Stream, first: int, count: int) -> Points:
        """Active cells of the samples first … first + count - 1, `rows` counted from `first`.

        Sample j of step t has the index t·batch_size + j, `batch_size` being all positions of all sequences. A cell may
        occur twice, see `Points.distinct`.
        """

    def values(self, u: Float64[np.ndarray, "m"]) -> Float64[np.ndarray, "m"]:
        """Values of active features from uniforms in [0, 1), (m,) both."""
        return self.law.quantile(np.maximum(u, SMALLEST))

    def draw(
        self,
        stream: Stream,
        first_step: int,
        n_steps: int,
        sample_slice: slice = slice(None),
        dtype: DTypeLike = np.float32,
    ) -> Float[np.ndarray, "t s n"]:
        """The batches of n_steps steps as a new array (t, s, n); s counts the samples of the slice."""
        drawn = self.step_points(stream, first_step, n_steps, sample_slice)
        size = len(range(self.batch_size)[sample_slice])
        out = np.zeros((n_steps, size, self.n_features), dtype=dtype)
        out[drawn.rows // size, drawn.rows % size, drawn.features] = drawn.values
        return out

    def step_points(self, stream: Stream, first_step: int, n_steps: int, sample_slice: slice = slice(None)) -> Points:
        """Active cells of the batches of n_steps steps; `rows` number the samples of the slice through all steps."""
        samples = range(self.batch_size)[sample_slice]
        assert samples.step == 1, "a rank takes neighbouring samples"
        size = len(samples)
        # A whole batch follows the last one without a gap, so that one range covers every step.
        per_range = n_steps if size == self.batch_size else 1
        parts = []
        for step in range(0, n_steps, per_range):
            first = (first_step + step) * self.batch_size + samples.start
            part = self.points(stream, first, per_range * size)
            parts.append(Points(part.rows + step * size, part.features, part.values))
        return parts[0] if len(parts) == 1 else Points(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


class DenseSampler(Sampler):
    """One uniform a cell: the plain construction, whose cost follows N."""

    def points(self, stream: Stream, first: int, count: int) -> Points:
        u = uniforms(self.seed, stream, first, count, words=self.n_features)
        rows, features = np.nonzero(u < self.probabilities)
        return Points(rows, features, self.values(u[rows, features] / self.probabilities[features]))


class SparseSampler(Sampler):
    """Poisson points, one count a group of 64 samples; features with p = 1 get a value in every sample.

    Words of a group: the count; for each point up to the cap, one uniform for its sample and feature and one
    for its value; then one value for each sample and certain feature. The cap is where the tail of the count
    falls below 2^-54, less than a uniform can resolve.

    Attributes:
        certain: features with p = 1, the first ones.
        cumulative_rates: Σ -log(1 - p) of the others.
        count_cdf: P(count ≤ m) of a group's points, m up to the cap.
    """

    def __init__(self, data: DataConfig, seed: int) -> None:
        super().__init__(data, seed)
        self.certain = np.flatnonzero(self.probabilities >= 1.0)
        self._uncertain = np.flatnonzero(self.probabilities < 1.0)
        rates = -np.log1p(-self.probabilities[self._uncertain])
        self.cumulative_rates = np.cumsum(rates)
        # The last partial sum, not the sum: a place below it always falls on a feature.
        self._rate = float(self.cumulative_rates[-1]) if len(rates) else 0.0
        self._place = GuideTable(self.cumulative_rates)
        self.count_cdf = _poisson_cdf(GROUP * self._rate)

    def points(self, stream: Stream, first: int, count: int) -> Points:
        group = first // GROUP
        n_groups = -(-(first + count) // GROUP) - group
        cap = len(self.count_cdf) - 1
        words = BLOCK_WORDS * group_blocks(cap, len(self.certain))  # whole blocks lie side by side in memory
        u = uniforms(self.seed, stream, group, n_groups, words)
        counts = np.searchsorted(self.count_cdf, u[:, 0], side="right")
        # Where each point's words lie: in the row of its group, after those of the points before it.
        before = np.cumsum(counts) - counts
        word = np.repeat(np.arange(n_groups) * words + 1 - before, counts) + np.arange(int(counts.sum()))
        all_words = u.reshape(-1)
        place = all_words[word] * GROUP
        sample = place.astype(np.int64)
        feature = self._place.find((place - sample) * self._rate)
        rows = np.repeat(np.arange(n_groups) * GROUP, counts) + sample
        drawn = Points(rows, self._uncertain[feature], all_words[word + cap])
        if len(self.certain):
            drawn = self._with_certain(drawn, u[:, 1 + 2 * cap : 1 + 2 * cap + GROUP * len(self.certain)])
        return self._within(drawn, first - group * GROUP, count)

    def _with_certain(self, drawn: Points, u: Float64[np.ndarray, "group words"]) -> Points:
        """Adds the features with p = 1 in every sample of every group."""
        n_samples = len(u) * GROUP
        rows = np.repeat(np.arange(n_samples), len(self.certain))
        certain = Points(rows, np.tile(self.certain, n_samples), u.ravel())
        return Points(*(np.concatenate(pair) for pair in zip(drawn, certain, strict=True)))

    def _within(self, drawn: Points, offset: int, count: int) -> Points:
        """Drops what belongs to samples outside the range and turns the uniforms into values."""
        rows, features, u = drawn.rows - offset, drawn.features, drawn.values
        if offset or (offset + count) % GROUP:
            inside = (rows >= 0) & (rows < count)
            rows, features, u = rows[inside], features[inside], u[inside]
        return Points(rows, features, self.values(u))


def _poisson_cdf(mean: float) -> Float64[np.ndarray, "m"]:
    """P(count ≤ 0), P(count ≤ 1), … up to the first count whose tail is below the resolution of a uniform."""
    # Twelve standard deviations and a constant for small means lie beyond the cap, so the search finds it.
    candidates = np.arange(int(mean + 12.0 * np.sqrt(mean)) + 64)
    cap = int(np.argmax(pdtrc(candidates, mean) < SMALLEST))
    return pdtr(candidates[: cap + 1], mean)


def make_sampler(data: DataConfig, seed: int) -> Sampler:
    """The sampler that `data.sampler` names, for one seed."""
    return {"dense": DenseSampler, "sparse": SparseSampler}[data.sampler](data, seed)


def sample_dtype(config: RunConfig) -> type[np.floating]:
    """The NumPy type of a run's samples, from `trainer.precision`."""
    return {"32-true": np.float32, "64-true": np.float64}[config.trainer.precision]
