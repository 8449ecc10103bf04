"""Batches for the Trainer: a chunk is the data of up to `trainer.chunk_steps` optimizer steps of a pack.

Chunks end at every measurement step, and a first, empty chunk lets step 0 be measured. A chunk does not hold its data
but draws them when it is trained. Every member is drawn with its own seed, a and E, so its data are the same alone,
packed, resumed or split over ranks, each of which draws its slice of the one global batch.
Axis legend: `t` step, `r` run, `s` sample, `n` feature.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

from pytorch_lightning import LightningDataModule

from superdyn.config import RunConfig
from superdyn.features.batches import SparseBatches
from superdyn.features.batching import DenseBatches, head_size, make_batches
from superdyn.features.device_draws import drawn_on_device
from superdyn.features.generator import Stream
from superdyn.features.sampler import make_sampler, sample_dtype
from superdyn.features.token_stream import TokenDraws

_CHUNK_BYTES = 64 * 2**20
"""Largest data of a chunk, unless one step alone is larger."""

_CELL_BYTES = 96
"""Of an active cell while it is drawn and in both orders."""


class Draws:
    """Draws the batches of the members of a pack; sees only the samples, or whole sequences of them, of its rank."""

    def __init__(self, configs: Sequence[RunConfig], samples: slice):
        length = configs[0].data.length
        self.configs, self.samples = tuple(configs), slice(length * samples.start, length * samples.stop)
        self.samplers = [make_sampler(config.data, config.seed) for config in configs]

    def of(self, members: slice) -> "Draws":
        """The draws of some of the members."""
        part = copy(self)
        part.configs, part.samplers = self.configs[members], self.samplers[members]
        return part

    def batches(self, start: int, stop: int) -> SparseBatches | DenseBatches:
        """The data of the steps start … stop − 1."""
        data, size = self.configs[0].data, self.samples.stop - self.samples.start
        points = [sampler.step_points(Stream.TRAIN, start, stop - start, self.samples) for sampler in self.samplers]
        return make_batches(points, stop - start, size, data, sample_dtype(self.configs[0]))


class Chunk(NamedTuple):
    """The steps start … stop − 1; `draws` is None where nothing is drawn: population loss, step 0."""

    start: int
    stop: int
    draws: Draws | TokenDraws | None


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
        """Most steps in one chunk: `trainer.chunk_steps`, fewer where their data would not fit."""
        first = self.configs[0]
        if first.solver == "gradient_flow":
            return first.trainer.max_steps
        # Tokens are drawn step by step, and a GPU draws as many steps at a time as it has room for.
        if first.loss == "population" or isinstance(self.draws, TokenDraws) or drawn_on_device(self.configs):
            return first.trainer.chunk_steps
        size = (self.samples.stop - self.samples.start) * first.data.length
        active = max(float(sampler.probabilities.sum()) for sampler in self.draws.samplers)
        words = first.data.n_features if first.data.sampler == "dense" else active
        step_bytes = len(self.configs) * size * (8 + _CELL_BYTES * (active + 1) + 8 * words)
        return max(1, min(first.trainer.chunk_steps, int(_CHUNK_BYTES / step_bytes)))

    @cached_property
    def draws(self) -> Draws | TokenDraws:
        """Where the chunks get their data."""
        kind = TokenDraws if self.configs[0].data.kind == "tokens" else Draws
        return kind(self.configs, self.samples)

    def __iter__(self) -> Iterator[Chunk]:
        for start, stop in chunk_ranges(self.start, self.boundaries, self.steps_per_chunk):
            empty = start == stop or self.configs[0].loss == "population"
            yield Chunk(start, stop, None if empty else self.draws)


class FeatureDataModule(LightningDataModule):
    """The training data of a pack, as chunks.

    Args:
        configs: the members, equal in all but the member fields.
        boundaries: measurement steps, ascending, step 0 and the last step included.
        start_step: optimizer steps already done; 0 also yields the empty chunk at which step 0 is measured.
        rank, world_size: which of the equal slices of the global batch this process draws.
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
        assert len({head_size(config.data) for config in configs}) == 1, "and the form of their batches"
        assert boundaries[0] == 0, "step 0 is measured"
        assert all(early < late for early, late in pairwise(boundaries)), "measurement steps ascend"
        assert 0 <= rank < world_size
        assert batch_size % world_size == 0, "checked with the configuration"
        size = batch_size // world_size
        samples = slice(rank * size, (rank + 1) * size)
        self.stream = ChunkStream(tuple(configs), tuple(boundaries), start_step, samples)

    def train_dataloader(self) -> ChunkStream:
        """The chunks from `start_step` to the last boundary, in order."""
        return self.stream
