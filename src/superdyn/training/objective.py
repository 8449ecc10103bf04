"""What a pack minimises: the sampled loss, or the exact population risk of a linear student.

A student that writes its gradients out gets a sparse batch; any other gets a dense one and autograd.
Axis legend: `r` run, `n` feature.
"""

from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.batches import SparseBatch
from superdyn.features.moments import data_moments
from superdyn.features.probabilities import importances
from superdyn.models.gradients import Gradients
from superdyn.models.lag import Lag
from superdyn.models.population import FrozenProducts
from superdyn.models.protocol import DTYPES, ExplicitStudent, LinearStudent
from superdyn.models.risk import Population, population_feature_loss, sampled_loss
from superdyn.models.student import Student


class Objective(nn.Module):
    """Gradients of every member of a pack against its own teacher."""

    importance: Float[Tensor, "r n"]
    mean: Float[Tensor, "r n"] | None
    variance: Float[Tensor, "r n"]

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__()
        dtype = DTYPES[configs[0].trainer.precision]
        moments = [data_moments(config.data) for config in configs]
        targets = [importances(config.data.n_features, config.data.importance_exponent) for config in configs]
        mean = torch.from_numpy(np.stack([m.mean for m in moments])).to(dtype)
        variance = torch.from_numpy(np.stack([m.variance for m in moments])).to(dtype)
        self.register_buffer("importance", torch.from_numpy(np.stack(targets)).to(dtype), persistent=False)
        self.register_buffer("mean", mean if mean.any() else None, persistent=False)
        self.register_buffer("variance", variance, persistent=False)
        self._frozen_products: FrozenProducts | None = None
        self._explicit: bool | None = None
        self._asked: tuple[_Gradients] | None = None
        self._lag = Lag.of(configs[0].data)

    @property
    def population(self) -> Population:
        """The members' data and teachers."""
        return Population(self.importance, self.mean, self.variance)

    def gradients(self, student: nn.Module, batch: SparseBatch | None) -> Gradients:
        """Loss of each member and its gradients; `batch` is None for exact ones."""
        if self._explicit is None:
            self.settle(student, exact=batch is None)
        if not self._explicit:
            return self._by_autograd(student, batch)
        explicit = cast(ExplicitStudent, student)
        if batch is not None:
            return explicit.sampled_gradients(batch, self.importance)
        if self._frozen_products is not None:
            assert isinstance(student, Student)
            assert student.core is not None
            return self._frozen_products.gradients(student.core)
        return explicit.population_gradients(self.population)

    def gradients_at(
        self, parameters: Mapping[str, Float[Tensor, "r ..."]], student: nn.Module, batch: SparseBatch | None
    ) -> Gradients:
        """As `gradients`, with tensors by name in the place of the parameters of a student that writes them out.

        They are the same numbers. But compiled code that reads a student's parameters, and writes the memory of which
        they are parts, copies all of it, unless it sees them taken from there.
        """
        if self._explicit is None:
            self.settle(student, exact=batch is None)
        if not self._explicit:
            return self._by_autograd(student, batch)
        asked = {f"student.{name}": parameter for name, parameter in parameters.items()}
        assert self._asked is not None
        return torch.func.functional_call(self._asked[0], asked, (batch,))

    def settle(self, student: nn.Module, *, exact: bool) -> None:
        """Choose the way to the gradients and make what all steps share, before the first of them."""
        self._explicit = isinstance(student, ExplicitStudent) and self._lag.steps == 0
        self._asked = (_Gradients(self, student),)  # in a tuple, or it would be a part of what it is made of
        if exact and self._explicit and isinstance(student, Student) and student.trains_core_only():
            self._frozen_products = FrozenProducts.of(student.weights(), self.population)

    def loss(self, student: nn.Module, batch: SparseBatch | None) -> Float[Tensor, "r"]:
        """L of each member by the student's own forward pass, differentiable."""
        if batch is not None:
            x = batch.dense()
            return sampled_loss(*self._lag.pair(student(x), x), self.importance)
        assert isinstance(student, LinearStudent)
        return population_feature_loss(student.linear_map(), student.offset(), self.population).sum(dim=1)

    def _by_autograd(self, student: nn.Module, batch: SparseBatch | None) -> Gradients:
        trained = {name: p for name, p in student.named_parameters() if p.requires_grad}
        loss = self.loss(student, batch)
        gradients = torch.autograd.grad(loss.sum(), list(trained.values()))
        return Gradients(loss.detach(), dict(zip(trained, gradients, strict=True)))


class _Gradients(nn.Module):
    """Gradients as the output of a module, whose parameters can be exchanged for a call."""

    def __init__(self, objective: Objective, student: nn.Module):
        super().__init__()
        self.objective, self.student = objective, student

    def forward(self, batch: SparseBatch | None) -> Gradients:
        return self.objective.gradients(self.student, batch)
