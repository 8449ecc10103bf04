"""The LightningModule of a pack: stacked students, their optimizer state and their curves in the making.

One Trainer batch is a chunk of optimizer steps, so that Lightning's cost per batch is shared by many steps; at the end
of a chunk that ends on a measurement step every member is measured. Axis legend: `r` run, `n` feature.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from jaxtyping import Float64
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.datamodule import Chunk
from superdyn.training.engine import Engine
from superdyn.training.flow import FlowEngine
from superdyn.training.grid import checkpoint_grid, measurement_steps
from superdyn.training.measurement import Measurement
from superdyn.training.schedules import learning_rates, lr_time
from superdyn.training.sharding import Place
from superdyn.training.starting import start_member
from superdyn.training.threaded import ThreadedEngine, has_shares


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
        boundaries: steps at which chunks end: members are measured there, or their checkpoints are kept.
        kept_steps: those whose checkpoints are kept.
    """

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__()
        self.automatic_optimization = False
        self.configs = list(configs)
        first = self.configs[0]
        self.engine = _make_engine(self.configs)
        self.kept_steps = checkpoint_grid(first.trainer.max_steps, first.trainer.checkpoint_schedule)
        measured = measurement_steps(first.trainer.max_steps, first.trainer.points_per_decade)
        self.boundaries = sorted({*measured, *self.kept_steps})
        # Of the measured steps only: those of all steps would take more memory than a small student.
        rates = [learning_rates(c.optimizer, first.trainer.max_steps) for c in self.configs]
        times = np.stack([lr_time(of_member)[measured] for of_member in rates], axis=1)
        self._lr_times = dict(zip(measured, times, strict=True))
        used = np.maximum(np.array(measured) - 1, 0)
        self._rates = dict(zip(measured, np.stack([of_member[used] for of_member in rates], axis=1), strict=True))
        self._resumed: Sequence[Mapping[str, Tensor]] | None = None
        self._starts: Sequence[Mapping[str, Tensor] | None] = ()
        self.step = 0

    def configure_model(self) -> None:
        """Shard the parameters where Lightning has laid out the ranks for it (`sweeps/ranks/strategies.py`)."""
        if self.device_mesh is not None and isinstance(self.engine, Engine) and not self.engine.sharding.dims:
            self.engine.shard(self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> ChunkOptimizer:
        # Not the parameters: those that shards replace would stay in memory.
        return ChunkOptimizer([torch.zeros(())])

    @property
    def student(self) -> nn.Module:
        """The stacked students."""
        return self.engine.student

    def on_fit_start(self) -> None:
        self.engine.prepare()
        if self._resumed is not None:
            for r, state in enumerate(self._resumed):
                self.engine.load(r, state)
        for r, state in enumerate(self._starts):
            if state is not None:
                start_member(self.engine, r, state, optimizer=self.configs[r].start.optimizer)
        self.engine.agree()

    def training_step(self, chunk: Chunk, batch_idx: int) -> dict[str, Any]:
        """Train one chunk; the result carries a `Measurement` when the chunk ends on a measurement step."""
        optimizer = self.optimizers()
        assert not isinstance(optimizer, list)
        optimizer.step(lambda: self.train_chunk(chunk))
        self.step = chunk.stop
        return {"measurement": self.measure() if self.step in self._lr_times else None}

    @property
    def of_bins(self) -> Mapping[str, Float64[np.ndarray, "r n"]]:
        """What is known of each token bin and does not change: see `TokenEvaluation.of_bins`."""
        evaluation: Any = self.engine.evaluation if isinstance(self.engine, Engine) else None
        return evaluation.of_bins if self.configs[0].data.kind == "tokens" else {}

    def measure(self) -> Measurement:
        """Loss of every feature of every member now, at a measurement step, on the host."""
        feature_loss, measures = self.engine.measure(self.step)
        losses = feature_loss.cpu().numpy()
        found = {name: value.double().cpu().numpy() for name, value in measures.items()}
        return Measurement(
            step=self.step,
            lr_time=self._lr_times[self.step],
            lr=self._rates[self.step],
            loss=losses.sum(axis=1),
            feature_loss=losses,
            measures={name: values for name, values in found.items() if values.ndim == 1},
            diverged_at=self.engine.diverged_at.cpu().numpy().copy(),
            feature_measures={name: values for name, values in found.items() if values.ndim == 2},
        )

    def member_state(self, r: int) -> dict[str, Tensor]:
        """Everything that member `r` needs to go on, or this rank's shards of it, as plain CPU tensors by name."""
        return {name: tensor.detach().cpu().clone() for name, tensor in self.engine.member_state(r).items()}

    def member_places(self) -> dict[str, Place]:
        """Which of a member's state is this rank's shard of a whole, and where it lies there."""
        return self.engine.places()

    def load_member_states(self, states: Sequence[Mapping[str, Tensor]], step: int) -> None:
        """Have training go on from where `member_state` left every member, after `step` optimizer steps."""
        self._resumed, self.step = states, step

    def start_members_from(self, states: Sequence[Mapping[str, Tensor] | None]) -> None:
        """Have members begin, at step 0, with the parameters of another run instead of initial values (None)."""
        self._starts = states

    def train_chunk(self, chunk: Chunk) -> None:
        """Train the steps of a chunk, unmeasured."""
        self.engine.train_chunk(chunk)


def _make_engine(configs: Sequence[RunConfig]) -> Engine | ThreadedEngine:
    if configs[0].solver == "gradient_flow":
        return FlowEngine(configs)
    return ThreadedEngine(configs) if has_shares(configs) else Engine(configs)
