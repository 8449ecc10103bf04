"""One optimizer step as a CUDA graph, replayed with fresh data: one launch for the host instead of a dozen or more.

Inside the graph the step counter, the place in the chunk and the learning rates are tensors that the graph itself
advances, and the batch is written from buffers that the host refills between chunks, or between steps whose data it
draws; so replay t trains step t on the data of step t, and nothing is captured anew.
Axis legend: `r` run, `s` sample, `n` feature, `t` step, `m` point.
"""

import gc
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Protocol, TypeGuard, runtime_checkable

import torch
from jaxtyping import Int64
from torch import Tensor

from superdyn.features.batches import SparseBatch, SparseBatches, StepPoints
from superdyn.features.device_draws import DevicePoints

_WRITTEN_OUT_BYTES = 2**28
"""Largest batch of wide data that is written out so that a graph can train on it."""

_WARM_UP = 3
"""Steps before capture, in which libraries choose their kernels and allocate."""


@runtime_checkable
class StepBuffer(Protocol):
    """Data at fixed addresses, of which a captured step makes its batch.

    Attributes:
        state: what a step changes.
    """

    state: list[Tensor]

    def refill(self, data: Any, /) -> None:
        """Take the data of the coming steps."""
        ...

    def batch(self) -> SparseBatch:
        """The batch of the next step."""
        ...


def buffer_of(data: DevicePoints | SparseBatch, shape: tuple[int, int, int]) -> StepBuffer:
    """One for such data."""
    return BatchBuffer(shape, data) if isinstance(data, SparseBatch) else ChunkBuffer(data, shape)


class ChunkBuffer:
    """The points of a chunk at fixed addresses, and the batch of the step that is next.

    Attributes:
        next: which step of the chunk comes next.
    """

    next: Int64[Tensor, "1"]

    def __init__(self, points: DevicePoints, shape: tuple[int, int, int]):
        capacity, width = points.n_drawn, points.places.shape[1]
        self._places = points.places.new_zeros(capacity, width)
        self._values = points.values.new_zeros(capacity, width)
        self.shape, self.next = shape, points.places.new_zeros(1)
        self.state = [self.next]

    def refill(self, points: DevicePoints, /) -> None:
        """Take the points of the coming chunk, steps of one block."""
        self._places[: len(points.places)].copy_(points.places)
        self._values[: len(points.values)].copy_(points.values)
        self.next.zero_()

    def batch(self) -> SparseBatch:
        """Write out the next step's batch and move on."""
        # A fresh array: kept from step to step, it would be copied back once more by compiled code.
        x = self._values.new_zeros(math.prod(self.shape) + 1)
        points = StepPoints(self._places, self._values, self.next.clone())
        places, values = points.of_step()
        x[places] = values
        self.next += 1
        return SparseBatch(self.shape, x[:-1].view(self.shape), None, points=points)


class BatchBuffer:
    """One batch at a fixed address, for data that the host draws: it is written before every replay."""

    def __init__(self, shape: tuple[int, int, int], batch: SparseBatch):
        self.shape, self.state = shape, []
        self._x = torch.empty_like(batch.dense())

    def refill(self, batch: SparseBatch, /) -> None:
        """Take the batch of the coming step."""
        self._x.copy_(batch.dense())

    def batch(self) -> SparseBatch:
        """The batch."""
        return SparseBatch(self.shape, self._x, None)

    @staticmethod
    def holds(batches: object) -> TypeGuard[SparseBatches]:
        """Whether batches are written out: they are dense, or would not be much larger."""
        if not isinstance(batches, SparseBatches):
            return False
        return batches.cells is None or 8 * math.prod(batches.shape) <= _WRITTEN_OUT_BYTES


class CapturedStep:
    """A step function recorded once and replayed.

    Args:
        step: trains one step at the counter's value and advances it; touches the host nowhere.
        state: every tensor that `step` changes, so that warming up leaves no trace.
    """

    def __init__(self, step: Callable[[], None], state: list[Tensor]):
        self._graph = torch.cuda.CUDAGraph()
        stream = _stream(torch.cuda.current_device())
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            warm_up(step, state)
        torch.cuda.current_stream().wait_stream(stream)
        with _no_collection(), torch.cuda.graph(self._graph, stream=stream):
            step()

    def replay(self, n_steps: int) -> None:
        """Train the next steps."""
        for _ in range(n_steps):
            self._graph.replay()


def warm_up(step: Callable[[], None], state: list[Tensor]) -> None:
    """Take the same step several times from the same state, which is that of before in the end.

    Steps one after the other could pass the end of a short training, or of a short block of drawn data.
    """
    before = [tensor.clone() for tensor in state]
    for _ in range(_WARM_UP):
        step()
        for tensor, value in zip(state, before, strict=True):
            tensor.copy_(value)


@cache
def _stream(device: int) -> torch.cuda.Stream:
    """One for all packs: cuBLAS keeps memory for every stream that it was ever used on."""
    return torch.cuda.Stream(device)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Collect garbage now and not meanwhile: to destroy the graph of an earlier pack would break off a capture."""
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
