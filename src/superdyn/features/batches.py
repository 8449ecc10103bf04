"""Batches in index/value form, so that the cost of encoding follows the active features and not N.

A batch of a pack lists its active cells twice: by sample, for x ↦ W x, and by feature, for the gradient of W. The first
features, the head, may be held as a dense block instead, see `batching.py`.
Axis legend: `t` step, `r` run, `s` sample, `n` feature, `h` head feature, `m` active cell, `u` active feature.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor


@dataclass(frozen=True)
class Cells:
    """Active cells beside the head; a row is a sample of some member, r·S + s.

    Attributes:
        members, features: of each active feature, ordered by member, then feature.
        rows: row of each active cell, ascending.
        picks: which active feature each cell belongs to.
        values: value of each active cell.
        row_starts: where each row begins in `picks` and `values`.
        feature_rows: rows again, ordered by active feature.
        feature_picks: picks again, ordered by active feature.
        feature_values: values again, ordered by active feature.
        feature_starts: where each active feature begins in `feature_rows`.
    """

    members: Int64[Tensor, "u"]
    features: Int64[Tensor, "u"]
    rows: Int64[Tensor, "m"]
    picks: Int64[Tensor, "m"]
    values: Float[Tensor, "m"]
    row_starts: Int64[Tensor, "rs"]
    feature_rows: Int64[Tensor, "m"]
    feature_picks: Int64[Tensor, "m"]
    feature_values: Float[Tensor, "m"]
    feature_starts: Int64[Tensor, "u"]

    @cached_property
    def cell_features(self) -> Int64[Tensor, "m"]:
        """Feature of each active cell."""
        return self.features[self.picks]


class HeadPoints(NamedTuple):
    """Where a head that is all is not zero; of a cell that occurs twice the last value counts.

    Attributes:
        places: in the flat (R, S, N).
        channels: in a flat (R, N), such as that of the importances.
        values: of the cells.
    """

    places: Int64[np.ndarray, "m"]
    channels: Int64[np.ndarray, "m"]
    values: Float[np.ndarray, "m"]


class StepPoints(NamedTuple):
    """Active cells of one step among others as a GPU draws them.

    For each run and group of `GROUP` samples in which the batch lies, `groups_touched` of them, there are as many
    slots.

    Attributes:
        places: in the flat (R, S, N) of a step; of unused slots R·S·N.
        values: of the cells.
        step: which of the steps it is.
    """

    places: Int64[Tensor, "t m"]
    values: Float[Tensor, "t m"]
    step: Int64[Tensor, "1"]

    def of_step(self) -> tuple[Int64[Tensor, "m"], Float[Tensor, "m"]]:
        """Places and values of this step."""
        return self.places.index_select(0, self.step)[0], self.values.index_select(0, self.step)[0]


class SparseBatch(NamedTuple):
    """One batch of a pack.

    Attributes:
        shape: (R, S, N).
        head: the first features, dense, or None.
        cells: the other features, or None where the head is all.
        head_points: the same as the head, on a CPU where the head is all and its points are at hand.
        points: likewise on a GPU.
    """

    shape: tuple[int, int, int]
    head: Float[Tensor, "r s h"] | None
    cells: Cells | None
    head_points: HeadPoints | None = None
    points: StepPoints | None = None

    def dense(self) -> Float[Tensor, "r s n"]:
        """The batch as one array."""
        if self.cells is None:
            assert self.head is not None
            return self.head
        x = self.cells.values.new_zeros(self.shape)
        if self.head is not None:
            x[:, :, : self.head.shape[2]] = self.head
        x.view(-1)[self.cells.rows * self.shape[2] + self.cells.cell_features] = self.cells.values
        return x


@dataclass(frozen=True)
class SparseBatches:
    """The batches of neighbouring steps.

    Attributes:
        shape: (R, S, N) of each.
        head: the heads.
        cells: the active cells of all steps, one after the other, or None where the heads are all; places count from
            the beginning of their own step.
        cell_bounds: where the cells of each step begin, and the end.
        feature_bounds: where the active features of each step begin, and the end.
    """

    n_steps: int
    shape: tuple[int, int, int]
    head: Float[Tensor, "t r s h"] | None
    cells: Mapping[str, Tensor] | None
    cell_bounds: Sequence[int] = ()
    feature_bounds: Sequence[int] = ()

    def __len__(self) -> int:
        return self.n_steps

    def to(self, device: torch.device) -> "SparseBatches":
        """The same batches on another device."""
        if device.type == "cpu":
            return self
        head = None if self.head is None else self.head.to(device, non_blocking=True)
        cells = self.cells and {name: tensor.to(device, non_blocking=True) for name, tensor in self.cells.items()}
        return replace(self, head=head, cells=cells)

    def step(self, t: int) -> SparseBatch:
        """The batch of step `t`, sharing memory."""
        head = None if self.head is None else self.head[t]
        if self.cells is None:
            return SparseBatch(self.shape, head, None)
        cells = slice(self.cell_bounds[t], self.cell_bounds[t + 1])
        features = slice(self.feature_bounds[t], self.feature_bounds[t + 1])
        n_rows = self.shape[0] * self.shape[1]
        spans: dict[str, slice] = dict.fromkeys(("members", "features", "feature_starts"), features)
        spans["row_starts"] = slice(t * n_rows, (t + 1) * n_rows)
        parts = {name: tensor[spans.get(name, cells)] for name, tensor in self.cells.items()}
        return SparseBatch(self.shape, head, Cells(**parts))
