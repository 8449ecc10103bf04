"""Gradient flow in closed form: an engine that fills a run's measurements without a step, in float64.

Where B alone trains in a linear student, exact gradient flow is linear. Identity embedding: with Σ = Q s Qᵀ,
    B(τ) = A + (B(0) − A) Q e^{−s τ} Qᵀ.
Frozen embedding: with G = W_d W_dᵀ = U g Uᵀ, M = W_e Σ W_eᵀ = V c Vᵀ, D = W_d A Σ W_eᵀ and mode (i, j) of UᵀBV,
    b(τ) = b(0) e^{−gcτ} + d τ φ(gcτ), φ(x) = (1 − e^{−x})/x.
Σ = V + μ μᵀ is that of the value law, mean included; τ is the lr-time, so schedules are honoured. Source: Saxe,
McClelland, Ganguli 2014; arXiv 2602.01045. Axis legend: `r` run, `t` step, `n` feature, `k` hidden.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.config import RunConfig
from superdyn.models.population import FrozenProducts
from superdyn.models.product import multiply
from superdyn.models.student import Student
from superdyn.training.chunk_batches import Batches
from superdyn.training.engine import Engine
from superdyn.training.schedules import learning_rates, lr_time


class FlowEngine(Engine):
    """Students that jump to any step: B is what gradient flow from its initial value makes of it by that lr-time."""

    lr_times: Float[Tensor, "t r"]

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__([_in_double(config) for config in configs])
        assert isinstance(self.student, Student)
        times = [lr_time(learning_rates(c.optimizer, c.trainer.max_steps)) for c in configs]
        self.register_buffer("lr_times", torch.from_numpy(np.stack(times, axis=1)), persistent=False)
        self._modes = _identity_modes(self) if self.student.encoder is None else _frozen_modes(self, self.student)

    @torch.no_grad()
    def run(self, first_step: int, n_steps: int, batches: Batches | None) -> None:
        """Move every member to the end of these steps."""
        left, right, rates, start, drive = self._modes
        exponent = rates * self.lr_times[first_step + n_steps][:, None, None]
        saturation = -torch.expm1(-exponent)
        solved = torch.where(rates > 0, drive / rates, 0.0) * saturation
        grown = torch.where(rates > 0, solved, drive * self.lr_times[first_step + n_steps][:, None, None])
        assert isinstance(self.student, Student)
        assert self.student.core is not None
        modes = start * torch.exp(-exponent) + grown
        self.student.core.copy_(multiply(multiply(left, modes), right.mT))


_Modes = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""U, V, the rate of every mode (i, j), its value at the start and its drive: db/dτ = d − rate b."""


def _identity_modes(engine: Engine) -> _Modes:
    population = engine.objective.population
    sigma = torch.diag_embed(population.variance)
    if population.mean is not None:
        sigma = sigma + population.mean[:, :, None] * population.mean[:, None, :]
    s, q = _eigenbases(sigma)
    core = engine.student.get_parameter("core").detach()
    identity = torch.eye(core.shape[1], dtype=core.dtype).expand_as(core)
    rates = s.clamp(min=0)[:, None, :].expand_as(core)
    return identity, q, rates, multiply(core, q), population.importance[:, :, None] * q * s.clamp(min=0)[:, None, :]


def _frozen_modes(engine: Engine, student: Student) -> _Modes:
    products = FrozenProducts.of(student.weights(), engine.objective.population)
    (g, u), (c, v) = _eigenbases(products.g), _eigenbases(products.m)
    rates = g.clamp(min=0)[:, :, None] * c.clamp(min=0)[:, None, :]
    core = student.get_parameter("core").detach()
    start, drive = (multiply(multiply(u.mT, matrix), v) for matrix in (core, products.d))
    return u, v, rates, start, drive


def _eigenbases(matrices: Float[Tensor, "r k k"]) -> tuple[Float[Tensor, "r k"], Float[Tensor, "r k k"]]:
    """Eigenvalues and eigenvectors, member by member: LAPACK's bits depend on where in memory a matrix begins."""
    values, vectors = zip(*(torch.linalg.eigh(matrix.clone()) for matrix in matrices), strict=True)
    return torch.stack(values), torch.stack(vectors)


def _in_double(config: RunConfig) -> RunConfig:
    return config.model_copy(update={"trainer": config.trainer.model_copy(update={"precision": "64-true"})})
