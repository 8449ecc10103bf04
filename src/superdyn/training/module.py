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

from superdyn.config import ConfigError, RunConfig
from superdyn.features.datamodule import Chunk
from superdyn.models.measures import superposition_measures
from superdyn.models.protocol import DTYPES, EmbeddingStudent, LinearStudent, build_student
from superdyn.training.engine import Engine
from superdyn.training.grid import measurement_steps
from superdyn.training.measurement import Measurement
from superdyn.training.objective import Objective
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
        student = build_student(self.configs)
        linear = isinstance(student, LinearStudent) and first.model.activation == "linear"
        if first.loss == "population" and not linear:
            raise ConfigError(
                f"loss=population: the student {first.model.target!r} offers no linear_map() and offset(), so it has "
                f"no exact risk; allowed is loss=sampled."
            )
        rates = np.stack([learning_rates(c.optimizer, c.trainer.max_steps) for c in self.configs], axis=1)
        self.lr_times = np.stack([lr_time(column) for column in rates.T], axis=1)
        rates_on_device = torch.from_numpy(rates).to(DTYPES[first.trainer.precision])
        self.engine = Engine(student, Objective(self.configs, linear=linear), rates_on_device)
        self.boundaries = measurement_steps(first.trainer.max_steps, first.trainer.points_per_decade)
        self._measured = frozenset(self.boundaries)
        self._resumed: Sequence[Mapping[str, Tensor]] | None = None
        self.step = 0

    @property
    def student(self) -> nn.Module:
        """The stacked students."""
        return self.engine.student

    def configure_optimizers(self) -> ChunkOptimizer:
        return ChunkOptimizer(list(self.student.parameters()))

    def on_fit_start(self) -> None:
        self.engine.prepare([config.optimizer for config in self.configs])
        if self._resumed is not None:
            for name, tensor in self._state().items():
                tensor.copy_(torch.stack([state[name] for state in self._resumed]))

    def training_step(self, chunk: Chunk, batch_idx: int) -> dict[str, Any]:
        """Train one chunk; the result carries a `Measurement` when the chunk ends on a measurement step."""
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.step(lambda: self.engine.run(chunk.start, chunk.stop - chunk.start, chunk.x))
        self.step = chunk.stop
        return {"measurement": self.measure() if self.step in self._measured else None}

    def measure(self) -> Measurement:
        """Loss of every feature of every member now, on the host; a member beyond float32's range has diverged."""
        feature_loss = self.engine.objective.feature_loss(self.student)
        self.engine.check_health(feature_loss.sum(dim=1), self.step)
        feature_loss = feature_loss.cpu().numpy()
        measures: Mapping[str, Tensor] = {}
        if isinstance(self.student, EmbeddingStudent):
            measures = superposition_measures(self.student.embedding().detach())
        return Measurement(
            step=self.step,
            lr_time=self.lr_times[self.step],
            loss=feature_loss.sum(axis=1),
            feature_loss=feature_loss,
            measures={name: value.double().cpu().numpy() for name, value in measures.items()},
            diverged_at=self.engine.diverged_at.cpu().numpy(),
        )

    def member_state(self, r: int) -> dict[str, Tensor]:
        """Everything that member `r` needs to go on, as plain CPU tensors by name."""
        return {name: tensor[r].detach().cpu().clone() for name, tensor in self._state().items()}

    def load_member_states(self, states: Sequence[Mapping[str, Tensor]], step: int) -> None:
        """Have training go on from where `member_state` left every member, after `step` optimizer steps."""
        self._resumed, self.step = states, step

    def _state(self) -> dict[str, Tensor]:
        student = {f"student/{n}": t.detach() for n, t in self.student.state_dict().items()}
        optimizer = {f"optimizer/{n}": t for n, t in self.engine.optimizer.state.items()}
        return {**student, **optimizer, "engine/diverged_at": self.engine.diverged_at}
