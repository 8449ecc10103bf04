"""The LightningModule of a pack: stacked students, their optimizer state and their curves in the making.

One Trainer batch is a chunk of optimizer steps, so that Lightning's cost per batch is shared by many steps; at the end
of a chunk that ends on a measurement step every member is measured. Axis legend: `r` run, `n` feature.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.datamodule import Chunk
from superdyn.training.engine import Engine
from superdyn.training.grid import measurement_steps
from superdyn.training.measurement import Measurement
from superdyn.training.schedules import learning_rates, lr_time


class ChunkOptimizer(torch.optim.Optimizer):
    """Lets Lightning count a chunk as one optimizer step; the steps themselves are the engine's."""

    def __init__(self, parameters: Sequence[Tensor]):
        super().__init__(parameters, {})

    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        if closure is not None:
            closure()


class SuperpositionModule(pl.LightningModule):
    """Any pack of runs whose `pack_key` agrees, a single run included.

    Attributes:
        configs: the members in order.
        step: optimizer steps done.
        boundaries: steps at which members are measured.
    """

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__()
        self.automatic_optimization = False
        self.configs = list(configs)
        first = self.configs[0]
        self.engine = Engine(self.configs)
        rates = [learning_rates(c.optimizer, first.trainer.max_steps) for c in self.configs]
        self.lr_times = np.stack([lr_time(column) for column in rates], axis=1)
        self.boundaries = measurement_steps(first.trainer.max_steps, first.trainer.points_per_decade)
        self._measured = frozenset(self.boundaries)
        self._resumed: Sequence[Mapping[str, Tensor]] | None = None
        self.step = 0

    def configure_optimizers(self) -> ChunkOptimizer:
        return ChunkOptimizer(list(self.student.parameters()))

    @property
    def student(self) -> nn.Module:
        """The stacked students."""
        return self.engine.student

    def on_fit_start(self) -> None:
        self.engine.prepare()
        if self._resumed is not None:
            for name, tensor in self.engine.state().items():
                tensor.copy_(torch.stack([state[name] for state in self._resumed]))

    def training_step(self, chunk: Chunk, batch_idx: int) -> dict[str, Any]:
        """Train one chunk; the result carries a `Measurement` when the chunk ends on a measurement step."""
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.step(lambda: self._train(chunk))
        self.step = chunk.stop
        return {"measurement": self.measure() if self.step in self._measured else None}

    def measure(self) -> Measurement:
        """Loss of every feature of every member now, on the host."""
        feature_loss, measures = self.engine.measure(self.step)
        losses = feature_loss.cpu().numpy()
        return Measurement(
            step=self.step,
            lr_time=self.lr_times[self.step],
            loss=losses.sum(axis=1),
            feature_loss=losses,
            measures={name: value.double().cpu().numpy() for name, value in measures.items()},
            diverged_at=self.engine.diverged_at.cpu().numpy(),
        )

    def member_state(self, r: int) -> dict[str, Tensor]:
        """Everything that member `r` needs to go on, as plain CPU tensors by name."""
        return {name: tensor[r].detach().cpu().clone() for name, tensor in self.engine.state().items()}

    def load_member_states(self, states: Sequence[Mapping[str, Tensor]], step: int) -> None:
        """Have training go on from where `member_state` left every member, after `step` optimizer steps."""
        self._resumed, self.step = states, step

    def _train(self, chunk: Chunk) -> None:
        batches = None if chunk.draws is None else chunk.draws.batches(chunk.start, chunk.stop).to(self.device)
        self.engine.run(chunk.start, chunk.stop - chunk.start, batches)
