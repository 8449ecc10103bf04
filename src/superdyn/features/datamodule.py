"""Batches for the Trainer: a chunk is the data of up to `trainer.chunk_steps` optimizer steps of a pack.

Chunks end at every measurement step, and a first, empty chunk lets step 0 be measured. Every member is drawn
with its own seed, a and E, so its data are the same alone, packed, resumed or split over ranks, each of which
draws its slice of the one global batch. Axis legend: `k` step, `r` run, `s` sample, `n` feature.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from pytorch_lightning import LightningDataModule
from torch import Tensor

from superdyn.config import RunConfig
from superdyn.features.generator import Stream
from superdyn.features.sampler import make_sampler, sample_dtype

_CHUNK_BYTES = 64 * 2**20
"""Largest chunk in memory, unless one step alone is larger."""


class Chunk(NamedTuple):
    """The data of the steps start … stop - 1; `x` is None where nothing is drawn: population loss, step 0."""

    start: int
    stop: int
    x: Float[Tensor, "k r s n"] | None


def chunk_ranges(start: int, boundaries: Sequence[int], limit: int) -> Iterator[tuple[int, int]]:
    """Cuts the steps from `start` to the last boundary into (start, stop) of at most `limit` steps.

    No range crosses a boundary. From step 0 the first range is the empty (0, 0).
    """
    if start == 0:
        yield 0, 0
    for boundary in boundaries:
        while start < boundary:
            stop = min(start + limit, boundary)
            yield start, stop
            start = stop


@dataclass(frozen=True)
class ChunkStream:
    """An iterable of chunks; each iteration begins at `start` again.

    Deliberately no torch DataLoader: without workers it adds nothing, takes a seed from the global generator
    each time it is iterated, and makes Lightning warn.
    """

    configs: tuple[RunConfig, ...]
    boundaries: tuple[int, ...]
    start: int
    samples: slice

    @property
    def steps_per_chunk(self) -> int:
        """Most steps in one chunk: `trainer.chunk_steps`, fewer where their samples would not fit."""
        trainer, data = self.configs[0].trainer, self.configs[0].data
        if self.configs[0].loss == "population":
            return trainer.chunk_steps
        size = self.samples.stop - self.samples.start
        step_bytes = len(self.configs) * size * data.n_features * sample_dtype(self.configs[0])().itemsize
        return max(1, min(trainer.chunk_steps, _CHUNK_BYTES // step_bytes))

    def __iter__(self) -> Iterator[Chunk]:
        samplers = [make_sampler(config.data, config.seed) for config in self.configs]
        dtype = sample_dtype(self.configs[0])
        size, n_features = self.samples.stop - self.samples.start, self.configs[0].data.n_features
        for start, stop in chunk_ranges(self.start, self.boundaries, self.steps_per_chunk):
            if start == stop or self.configs[0].loss == "population":
                yield Chunk(start, stop, None)
                continue
            x = np.empty((stop - start, len(samplers), size, n_features), dtype=dtype)
            for r, sampler in enumerate(samplers):
                sampler.fill(x[:, r], Stream.TRAIN, start, self.samples)
            yield Chunk(start, stop, torch.from_numpy(x))


class FeatureDataModule(LightningDataModule):
    """The training data of a pack, as chunks.

    Args:
        configs: the members, equal in all but the member fields.
        boundaries: measurement steps, ascending, step 0 and the last step included.
        start_step: optimizer steps already done; 0 also yields the empty chunk at which step 0 is measured.
        rank, world_size: which of the equal slices of the global batch this process draws.

    Raises:
        ValueError: `data.batch_size` does not divide into `world_size` equal slices.
    """

    def __init__(
        self,
        configs: Sequence[RunConfig],
        boundaries: Sequence[int],
        start_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__()
        batch_size = configs[0].data.batch_size
        assert len({config.pack_key() for config in configs}) == 1, "members of a pack share shapes"
        assert boundaries[0] == 0, "step 0 is measured"
        assert all(early < late for early, late in pairwise(boundaries)), "measurement steps ascend"
        assert 0 <= rank < world_size
        if batch_size % world_size:
            raise ValueError(
                f"data.batch_size={batch_size}: each of {world_size} ranks draws an equal slice of a batch; "
                f"a multiple of {world_size} is allowed."
            )
        size = batch_size // world_size
        samples = slice(rank * size, (rank + 1) * size)
        self.stream = ChunkStream(tuple(configs), tuple(boundaries), start_step, samples)

    def train_dataloader(self) -> ChunkStream:
        """The chunks from `start_step` to the last boundary, in order."""
        return self.stream
