"""Draws a pack's batches on the device: the points of `SparseSampler`, with no word from the host.

The words, counts, places and features are those of the host, bit for bit; values agree to the rounding of the device's
quantile function. Axis legend: `t` step, `r` run, `g` group of 64 samples, `w` word, `m` point, `n` feature.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from superdyn.config import RunConfig, TrainerConfig
from superdyn.features.device_quantiles import device_quantile
from superdyn.features.generator import BLOCK_WORDS, Stream
from superdyn.features.group_draws import BatchSpan, GroupTables, draw_groups
from superdyn.features.last_of_cell import last_of_cell
from superdyn.features.philox import signed
from superdyn.features.sampler import GROUP, SMALLEST, SparseSampler, group_blocks, groups_touched

_BLOCK_BYTES = 2**28
"""Largest array of uniform numbers that is drawn at once; about five such arrays are alive at a time."""


class DevicePoints(NamedTuple):
    """Active cells of every step: where in the (R, S, N) of a step, and which value.

    Points beyond a step's number of cells lie at R·S·N, one past its end, with value 0.

    Attributes:
        n_drawn: steps of the block that these are part of.
    """

    places: Int64[Tensor, "t m"]
    values: Float[Tensor, "t m"]
    n_drawn: int

    def between(self, start: int, stop: int) -> "DevicePoints":
        """Those of the steps start … stop − 1, counted from the first."""
        return DevicePoints(self.places[start:stop], self.values[start:stop], self.n_drawn)


class DeviceDraws(nn.Module):
    """Draws for every member of a pack; its buffers are the `GroupTables` and move with `.to(device)`."""

    def __init__(self, configs: Sequence[RunConfig], dtype: torch.dtype):
        super().__init__()
        data = configs[0].data
        samplers = [SparseSampler(config.data, config.seed) for config in configs]
        self.batch_size, self.n_features, self.dtype = data.samples_per_step, data.n_features, dtype
        quantile = device_quantile(data.value_law)
        assert quantile is not None, "see can_draw_on_device"
        self._quantile = quantile
        caps, certain = [len(s.count_cdf) - 1 for s in samplers], [len(s.certain) for s in samplers]
        self.most_certain = max(certain)
        cdf, rates = np.ones((len(samplers), max(caps) + 1)), np.empty((len(samplers), self.n_features))
        for r, sampler in enumerate(samplers):
            cdf[r, : caps[r] + 1] = sampler.count_cdf
            rates[r] = np.pad(sampler.cumulative_rates, (0, certain[r]), mode="edge")
        blocks = [group_blocks(*own) for own in zip(caps, certain, strict=True)]
        words = BLOCK_WORDS * group_blocks(max(caps), self.most_certain)
        self.step_bytes = 8 * len(samplers) * groups_touched(self.batch_size) * words
        """Of the uniform numbers of one step of all members."""
        tables = GroupTables(
            keys=torch.tensor([[signed(s.seed), int(Stream.TRAIN)] for s in samplers]),
            blocks=torch.tensor(blocks),
            caps=torch.tensor(caps),
            certain=torch.tensor(certain),
            count_cdf=torch.from_numpy(cdf),
            rates=torch.from_numpy(rates),
        )
        for name, table in tables._asdict().items():
            self.register_buffer(name, table)

    @property
    def tables(self) -> GroupTables:
        """What the members' draws follow from, where the buffers are."""
        return GroupTables(*(getattr(self, name) for name in GroupTables._fields))

    @torch.no_grad()
    def points(self, first_step: int | Int64[Tensor, ""], n_steps: int) -> DevicePoints:
        """Active cells of the steps first_step … first_step + n_steps − 1."""
        cells, u, counts = draw_groups(self.tables, first_step, BatchSpan(self.batch_size, n_steps, self.most_certain))
        kept = last_of_cell(cells, counts, GROUP * self.n_features)
        if self.most_certain:
            cells, kept = self._with_certain(cells, kept)
        # What is not drawn may be anything, and a law may look its numbers up.
        values = self._quantile(torch.where(kept, u, 0.5).clamp(min=SMALLEST)).to(self.dtype)
        return self._by_step(cells, values, kept, first_step, n_steps)

    def _with_certain(self, cells: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Beside the points, every sample's certain features, of which a member may have fewer than another."""
        feature = torch.arange(self.most_certain, device=cells.device)
        cell = (torch.arange(GROUP, device=cells.device)[:, None] * self.n_features + feature).flatten()
        own = (feature < self.tables.certain[:, None]).repeat(1, GROUP)[:, None]
        more = (*cells.shape[:2], -1)
        return torch.cat([cells, cell.expand(more)], dim=2), torch.cat([kept, own.expand(more)], dim=2)

    def _by_step(
        self, cell: Tensor, value: Tensor, kept: Tensor, first_step: int | Int64[Tensor, ""], n_steps: int
    ) -> DevicePoints:
        """Places in the (R, S, N) of a step from cells of groups, of which only some may lie in its batch."""
        (runs, n_groups, cap), cells = cell.shape, self.batch_size * self.n_features
        within = (first_step + torch.arange(n_steps, device=cell.device)) * self.batch_size % GROUP
        start = GROUP * torch.arange(n_groups // n_steps, device=cell.device) - within[:, None]
        place = cell + start.view(-1, 1) * self.n_features
        kept = kept & (place >= 0) & (place < cells)
        place = torch.where(kept, place + torch.arange(runs, device=cell.device)[:, None, None] * cells, runs * cells)
        by_step = (runs, n_steps, n_groups // n_steps * cap)
        return DevicePoints(
            place.view(by_step).transpose(0, 1).reshape(n_steps, -1),
            torch.where(kept, value, 0.0).view(by_step).transpose(0, 1).reshape(n_steps, -1),
            n_steps,
        )


class DrawnAhead:
    """The points of the coming steps, drawn in blocks of as many steps each, so that one compiled draw serves.

    Chunks may end early, at a measurement; what is left of a block serves the next one.

    Attributes:
        n_steps: of a block: `trainer.chunk_steps`, fewer where that is too much memory.
    """

    def __init__(self, configs: Sequence[RunConfig], dtype: torch.dtype, device: torch.device):
        draws, trainer = DeviceDraws(configs, dtype).to(device), configs[0].trainer
        self.n_steps = max(1, min(trainer.chunk_steps, _BLOCK_BYTES // draws.step_bytes))
        self._points = torch.compile(draws.points, dynamic=False) if trainer.compile else draws.points
        self._device = device
        self._first, self._block = 0, None

    def parts(self, start: int, stop: int) -> Iterator[tuple[int, DevicePoints]]:
        """The steps start … stop − 1 in parts of one block each: the first step of each part, and its points."""
        while start < stop:
            if self._block is None or not self._first <= start < self._first + self.n_steps:
                # The step as a tensor, or each would be compiled; filled, since a copy would wait for the device.
                first = torch.full((), start, dtype=torch.int64, device=self._device)
                self._first, self._block = start, self._points(first, self.n_steps)
            end = min(stop, self._first + self.n_steps)
            yield start, self._block.between(start - self._first, end - self._first)
            start = end


def trains_on_gpu(trainer: TrainerConfig) -> bool:
    """Whether a run trains on a CUDA GPU, were it started here."""
    return trainer.accelerator != "cpu" and torch.cuda.is_available()


def drawn_on_device(configs: Sequence[RunConfig]) -> bool:
    """Whether a pack's batches are drawn by the GPU that trains it: whole batches of data that `DeviceDraws` knows."""
    trainer = configs[0].trainer
    return trains_on_gpu(trainer) and trainer.n_ranks == 1 and all(map(can_draw_on_device, configs))


def can_draw_on_device(config: RunConfig) -> bool:
    """Whether `DeviceDraws` knows this data."""
    return config.loss == "sampled" and drawn_by_host_for(config) is None


def drawn_by_host_for(config: RunConfig) -> str | None:
    """Why a GPU does not draw these sampled features; None where it can."""
    data = config.data
    if data.sampler != "sparse":
        return f"data.sampler={data.sampler}"
    if device_quantile(data.value_law) is None:
        return f"data.value_law={data.value_law} has no device_quantile(u)"
    if not len(SparseSampler(data, config.seed).cumulative_rates):
        return "every sample has all features"
    return None
