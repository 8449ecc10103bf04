"""Optimizer steps of a whole pack on the device, without a word to the host.

Each step: loss of every member, gradients, a health mask, one stacked update. A member whose loss is not finite gets
zero gradient and zero learning rate from that step on: its parameters stay what they were, and since no operation mixes
members the others never notice. Axis legend: `r` run, `s` sample, `n` feature, `t` step.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from superdyn.config import OptimizerConfig
from superdyn.training.objective import Objective
from superdyn.training.optimizers import make_optimizer
from superdyn.training.optimizers.protocol import StackedOptimizer

_LARGEST = torch.finfo(torch.float32).max
"""Spectra are stored in float32, so a loss beyond its range is as good as infinite."""


class Engine(nn.Module):
    """Runs optimizer steps; its buffers are the part of the training state that is neither student nor optimizer.

    Attributes:
        diverged_at: (r,) the first step at which a member's loss was not finite, −1 while it is alive.
    """

    diverged_at: Int[Tensor, "r"]
    rates: Float[Tensor, "t r"]
    optimizer: StackedOptimizer

    def __init__(self, student: nn.Module, objective: Objective, rates: Float[Tensor, "t r"]):
        super().__init__()
        self.student, self.objective = student, objective
        self.trained = {n: p for n, p in student.named_parameters() if p.requires_grad}
        self.register_buffer("rates", rates, persistent=False)
        self.register_buffer("diverged_at", torch.full((rates.shape[1],), -1, dtype=torch.int64))

    def prepare(self, configs: Sequence[OptimizerConfig]) -> None:
        """Make the optimizer, once the student is on its device."""
        self.optimizer = make_optimizer(self.trained, configs)

    def run(self, first_step: int, n_steps: int, batches: Float[Tensor, "t r s n"] | None) -> None:
        """Train steps `first_step` … `first_step + n_steps − 1`; `batches` is None for exact gradients."""
        for i in range(n_steps):
            self._step(first_step + i, None if batches is None else batches[i])

    def _step(self, step: int, x: Float[Tensor, "r s n"] | None) -> None:
        loss = self.objective.training_loss(self.student, x)
        gradients = torch.autograd.grad(loss.sum(), list(self.trained.values()))
        alive = self.check_health(loss.detach(), step)
        masked = {
            name: torch.where(alive.view(-1, *(1,) * (gradient.ndim - 1)), gradient, 0.0)
            for name, gradient in zip(self.trained, gradients, strict=True)
        }
        self.optimizer.update(masked, self.rates[step] * alive)

    def check_health(self, loss: Float[Tensor, "r"], step: int) -> Bool[Tensor, "r"]:
        """Which members are alive; one whose loss is not a number of float32's range has diverged at `step`."""
        sound = loss.abs() <= _LARGEST
        self.diverged_at.masked_fill_(~sound & (self.diverged_at < 0), step)
        return self.diverged_at < 0
