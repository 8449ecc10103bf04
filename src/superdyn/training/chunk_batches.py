"""The data of a chunk of steps: drawn on a GPU where it can, else drawn by the host and moved."""

import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property

import torch

from superdyn.config import RunConfig
from superdyn.features.batches import SparseBatches
from superdyn.features.batching import DenseBatches
from superdyn.features.datamodule import Chunk
from superdyn.features.device_draws import DevicePoints, DrawnAhead, drawn_by_host_for, drawn_on_device
from superdyn.features.token_stream import TokenBatches
from superdyn.models.protocol import DTYPES

Batches = SparseBatches | DenseBatches | DevicePoints | TokenBatches
"""The data of neighbouring steps, in any of their forms."""


class ChunkBatches:
    """For one pack; a GPU draws ahead from chunk to chunk.

    Runs that start from another have their data begin at `start.data_step`, which the members of a pack share.
    """

    def __init__(self, configs: Sequence[RunConfig]):
        self._configs = configs
        self._shift = configs[0].start.data_step or 0
        self._drawn_ahead: DrawnAhead | None = None
        self._remarked = False

    def parts(self, chunk: Chunk, device: torch.device) -> Iterator[tuple[int, int, Batches | None]]:
        """First step, number of steps and data of each part of a chunk; no data for exact gradients."""
        shift = self._shift
        if chunk.draws is None:
            yield chunk.start, chunk.stop - chunk.start, None
        elif device.type == "cuda" and self._draws_on_device:
            if self._drawn_ahead is None:
                self._drawn_ahead = DrawnAhead(self._configs, DTYPES[self._configs[0].trainer.precision], device)
            for first, points in self._drawn_ahead.parts(chunk.start + shift, chunk.stop + shift):
                yield first - shift, len(points.places), points
        else:
            if device.type == "cuda":
                self._remark_on_host()
            batches = chunk.draws.batches(chunk.start + shift, chunk.stop + shift).to(device)
            yield chunk.start, chunk.stop - chunk.start, batches

    @cached_property
    def _draws_on_device(self) -> bool:
        return drawn_on_device(self._configs)

    def _remark_on_host(self) -> None:
        """Say once why the host draws what a GPU could."""
        if self._remarked or self._configs[0].loss != "sampled":
            return
        self._remarked = True
        reason = next(filter(None, map(drawn_by_host_for, self._configs)), None)
        if reason is not None:
            warnings.warn(
                f"the CPU draws the batches of runs that a GPU trains: {reason}. Small students train many times "
                "faster on batches that the GPU draws.",
                stacklevel=2,
            )
