"""Optimizer steps of a whole pack on the device, on a GPU without a word to the host between two measurements.

Each step: gradients of every member, a health check, one stacked update. A member whose loss is not finite gets learning rate zero from that step on: its parameters stay
what they were, and since no operation mixes members the others never notice.
Axis legend: `r` run, `n` feature, `t` step.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.batches import SparseBatch, SparseBatches
from superdyn.features.batching import DenseBatches
from superdyn.models.measures import superposition_measures
from superdyn.models.protocol import DTYPES, EmbeddingStudent, build_student, is_linear
from superdyn.training.evaluation import Evaluation
from superdyn.training.objective import Objective
from superdyn.training.optimizers import make_optimizer
from superdyn.training.optimizers.protocol import StackedOptimizer
from superdyn.training.schedules import learning_rates

_LARGEST = torch.finfo(torch.float32).max
"""Spectra are stored in float32, so a loss beyond its range is as good as infinite."""


class Engine(nn.Module):
    """The stacked students of a pack, what they minimise and how they are measured.

    Attributes:
        diverged_at: (r,) the first step at which a member's loss was not finite, −1 while it is alive.
    """

    diverged_at: Int[Tensor, "r"]
    rates: Float[Tensor, "t r"]
    optimizer: StackedOptimizer

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__()
        self.configs = list(configs)
        self.student = build_student(configs)
        self.objective = Objective(configs)
        self.evaluation = Evaluation(configs, linear=is_linear(self.student, configs[0]))
        rates = np.stack([learning_rates(c.optimizer, c.trainer.max_steps) for c in configs], axis=1)
        self.register_buffer(
            "rates", torch.from_numpy(rates).to(DTYPES[configs[0].trainer.precision]), persistent=False
        )
        self.register_buffer("diverged_at", torch.full((len(configs),), -1, dtype=torch.int64))
        self._all_alive = True
        self._frozen_measures: dict[str, Tensor] | None = None

    def prepare(self) -> None:
        """Make the optimizer, once the student is on its device."""
        trained = {n: p for n, p in self.student.named_parameters() if p.requires_grad}
        self.optimizer = make_optimizer(trained, [config.optimizer for config in self.configs])

    def run(self, first_step: int, n_steps: int, batches: SparseBatches | DenseBatches | None) -> None:
        """Train steps `first_step` … `first_step + n_steps − 1`; `batches` is None for exact gradients."""
        for i in range(n_steps):
            self.run_step(first_step + i, None if batches is None else batches.step(i))

    def run_step(self, step: int, batch: SparseBatch | None) -> None:
        """Train step `step` on its batch, or on the exact risk."""
        loss, gradients = self.objective.gradients(self.student, batch)
        rates = self.rates[step]
        # On the CPU looking is free, and a sum is finite only if every term is.
        if loss.is_cpu and self._all_alive and math.isfinite(loss.sum().item()):
            self.optimizer.update(gradients, rates, masked=False)
        else:
            alive = self.check_health(loss, step)
            self._all_alive = alive.is_cpu and bool(alive.all())
            self.optimizer.update(gradients, rates * alive)

    def check_health(self, loss: Float[Tensor, "r"], step: int) -> Bool[Tensor, "r"]:
        """Which members are alive; one whose loss is not a number of float32's range has diverged at `step`."""
        sound = loss.abs() <= _LARGEST
        self.diverged_at.masked_fill_(~sound & (self.diverged_at < 0), step)
        return self.diverged_at < 0

    def measure(self, step: int) -> tuple[Float[Tensor, "r n"], dict[str, Float[Tensor, "r"]]]:
        """ℓ_i (float64) and the superposition measures of every member now.

        A member whose loss is beyond float32's range has diverged at `step`.
        """
        feature_loss = self.evaluation.feature_loss(self.student, self.objective.population)
        alive = self.check_health(feature_loss.sum(dim=1), step)
        self._all_alive = alive.is_cpu and bool(alive.all())
        return feature_loss, self._superposition(self.student) if isinstance(self.student, EmbeddingStudent) else {}

    def _superposition(self, student: EmbeddingStudent) -> dict[str, Tensor]:
        """The measures of the embedding, which need computing once where it is frozen."""
        embedding = student.embedding().detach()
        if self._frozen_measures is None or any(embedding.data_ptr() == p.data_ptr() for p in self.student.parameters()):
            self._frozen_measures = superposition_measures(embedding)
        return self._frozen_measures

    def state(self) -> dict[str, Float[Tensor, "r ..."]]:
        """Everything that the members need to go on, by name, sharing memory."""
        student = {f"student/{n}": t.detach() for n, t in self.student.state_dict().items()}
        optimizer = {f"optimizer/{n}": t for n, t in self.optimizer.state.items()}
        return {**student, **optimizer, "engine/diverged_at": self.diverged_at}
