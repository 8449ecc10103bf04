"""From the points of every member to the batches of a pack, sparse or dense, whichever trains faster.

The head is dense: features that are active in a quarter of the samples or more, all features where these are half of
them, and all features of small models, whose products cost less than sorting their cells. It depends on a run's own
configuration only.
Axis legend: `t` step, `r` run, `s` sample, `n` feature, `m` active cell.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from numpy.typing import DTypeLike

from superdyn.config import DataConfig
from superdyn.features.batches import HeadPoints, SparseBatch, SparseBatches
from superdyn.features.probabilities import feature_probabilities
from superdyn.features.sampler import Points

_DENSE_FROM = 0.25
"""Probability from which a dense cell is cheaper than an index, a value and their sorting."""

_ALL_DENSE_UP_TO = 128
"""Number of features up to which the whole batch is dense."""

_ALL_DENSE_FROM = 0.5
"""Share of frequent features from which the others are dense too: as a power law goes, they are not rare."""

_HEAD_MULTIPLE = 16
"""Heads are whole vector registers wide, like every other shape that is multiplied in one call for all members."""


def head_size(data: DataConfig) -> int:
    """How many of the first features are held densely: 0 for the sparse data of the paper at N = 1024."""
    if data.kind == "tokens":
        return 0
    if data.n_features <= _ALL_DENSE_UP_TO:
        return data.n_features
    p = feature_probabilities(data.n_features, data.data_exponent, data.density)
    frequent = int((p >= _DENSE_FROM).sum())
    if frequent >= _ALL_DENSE_FROM * data.n_features:
        return data.n_features
    return frequent // _HEAD_MULTIPLE * _HEAD_MULTIPLE


def make_batches(
    members: Sequence[Points], n_steps: int, batch_size: int, data: DataConfig, dtype: DTypeLike
) -> "SparseBatches | DenseBatches":
    """Batches of a pack from every member's points, whose `rows` count samples through all steps.

    Where a cell occurs twice its last value counts.
    """
    head, shape = head_size(data), (len(members), batch_size, data.n_features)
    if head == data.n_features:
        return dense_batches(members, n_steps, shape, dtype)
    return sparse_batches(members, n_steps, batch_size, data.n_features, head, dtype)


@dataclass(frozen=True)
class DenseBatches:
    """Batches whose head is all; a step is written out when asked for, over the one before.

    Attributes:
        points: of all steps, one after the other.
        bounds: where the points of each step begin, and the end.
        memory: one step's batch.
    """

    points: HeadPoints
    bounds: Sequence[int]
    memory: Float[np.ndarray, "r s n"]

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def to(self, device: torch.device) -> "SparseBatches | DenseBatches":
        """The same batches on another device, all written out."""
        if device.type == "cpu":
            return self
        x = torch.stack([self._written(self._points(t)).clone() for t in range(len(self))])
        return SparseBatches(len(self), self.memory.shape, x.to(device, non_blocking=True), None)

    def step(self, t: int) -> SparseBatch:
        """The batch of step `t`; it is void after the next call."""
        points = self._points(t)
        head = self._written(points)
        return SparseBatch(self.memory.shape, head, None, points)

    def _points(self, t: int) -> HeadPoints:
        here = slice(self.bounds[t], self.bounds[t + 1])
        return HeadPoints(*(array[here] for array in self.points))

    def _written(self, points: HeadPoints) -> torch.Tensor:
        self.memory[...] = 0
        self.memory.reshape(-1)[points.places] = points.values
        return torch.from_numpy(self.memory)


def dense_batches(
    members: Sequence[Points], n_steps: int, shape: tuple[int, int, int], dtype: DTypeLike
) -> DenseBatches:
    """As `make_batches`, with all features in the head."""
    n_features, n_rows = shape[2], shape[0] * shape[1]
    row = np.concatenate([flat_rows(points.rows, r, shape) for r, points in enumerate(members)])
    step = row // n_rows
    feature = np.concatenate([points.features for points in members])
    member = np.repeat(np.arange(len(members)), [len(points.features) for points in members])
    place, channel = (row - step * n_rows) * n_features + feature, member * n_features + feature
    value = np.concatenate([points.values for points in members]).astype(dtype)
    bounds = np.concatenate([[0], np.bincount(step, minlength=n_steps).cumsum()])
    points = HeadPoints(place, channel, value)
    small = step.astype(np.uint16) if n_steps <= np.iinfo(np.uint16).max else step
    if (small[1:] < small[:-1]).any():
        order = np.argsort(small, kind="stable")  # radix sort for 16 bits
        points = HeadPoints(*(array[order] for array in points))
    return DenseBatches(points, bounds.tolist(), np.zeros(shape, dtype=dtype))


def sparse_batches(
    members: Sequence[Points], n_steps: int, batch_size: int, n_features: int, head: int, dtype: DTypeLike
) -> SparseBatches:
    """Batches of a pack from every member's points, whose `rows` count samples through all steps.

    Where a cell occurs twice its last value counts.
    """
    shape = (len(members), batch_size, n_features)
    assert head < n_features, "where the head is all, DenseBatches serve"
    n_rows = len(members) * batch_size
    cell = np.concatenate(
        [flat_rows(points.rows, r, shape) * n_features + points.features for r, points in enumerate(members)]
    )
    value = np.concatenate([points.values for points in members]).astype(dtype)
    order = _stable_order(cell)
    cell = cell[order]
    last = np.ones(len(cell), dtype=bool)
    last[:-1] = cell[1:] != cell[:-1]
    cell, value = cell[last], value[order[last]]
    row, feature = np.divmod(cell, n_features)
    block = None
    if head:
        array = np.zeros((n_steps * n_rows, head), dtype=dtype)
        dense = feature < head
        array[row[dense], feature[dense]] = value[dense]
        row, feature, value = row[~dense], feature[~dense], value[~dense]
        block = torch.from_numpy(array.reshape(n_steps, *shape[:2], head))
    arrays, cell_bounds, feature_bounds = _two_orders(row, feature, value, (n_steps, *shape))
    tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return SparseBatches(n_steps, shape, block, tensors, cell_bounds, feature_bounds)


def flat_rows(rows: Int64[np.ndarray, "m"], r: int, shape: tuple[int, int, int]) -> Int64[np.ndarray, "m"]:
    """Number samples step by step, member by member within a step."""
    runs, batch_size, _ = shape
    if runs == 1:
        return rows
    return rows + (rows // batch_size * (runs - 1) + r) * batch_size


def _stable_order(keys: Int64[np.ndarray, "m"]) -> Int64[np.ndarray, "m"]:
    """Order that sorts `keys` and keeps equal ones in place: keys and places in one word sort fastest."""
    place_bits = max(len(keys) - 1, 1).bit_length()
    if len(keys) and int(keys.max()).bit_length() + place_bits < 64:
        packed = np.sort(keys << place_bits | np.arange(len(keys)))
        return packed & ((1 << place_bits) - 1)
    return np.argsort(keys, kind="stable")


def _two_orders(
    row: Int[np.ndarray, "m"], feature: Int[np.ndarray, "m"], value: np.ndarray, shape: tuple[int, int, int, int]
) -> tuple[dict[str, np.ndarray], list[int], list[int]]:
    """The arrays of `SparseBatches.cells`, and where each step's cells and active features begin."""
    n_steps, runs, batch_size, n_features = shape
    n_rows = runs * batch_size
    begins = np.concatenate([[0], np.bincount(row, minlength=n_steps * n_rows).cumsum()])
    bounds = begins[::n_rows]
    column = row // batch_size * n_features + feature
    by_column = _stable_order(column)
    ordered = column[by_column]
    new = np.ones(len(ordered), dtype=bool)
    new[1:] = ordered[1:] != ordered[:-1]
    first = np.flatnonzero(new)
    step, member = np.divmod(ordered[first] // n_features, runs)
    feature_bounds = np.searchsorted(step, np.arange(n_steps + 1))
    place = np.cumsum(new) - 1
    feature_pick = place - feature_bounds[step[place]]
    pick = np.empty_like(column)
    pick[by_column] = feature_pick
    local_row = row % n_rows
    arrays = {
        "members": member,
        "features": ordered[first] % n_features,
        "rows": local_row,
        "picks": pick,
        "values": value,
        "row_starts": begins[:-1] - np.repeat(bounds[:-1], n_rows),
        "feature_rows": local_row[by_column],
        "feature_picks": feature_pick,
        "feature_values": value[by_column],
        "feature_starts": first - bounds[step],
    }
    return arrays, bounds.tolist(), feature_bounds.tolist()
