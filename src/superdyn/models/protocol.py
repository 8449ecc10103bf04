"""What a student must offer, and how the class that a configuration names is found.

A student is an `nn.Module` made by `Student(configs)`, the members' configurations, which differ in
`config.MEMBER_FIELDS` only. Its `forward` maps a stacked batch (r, s, n) to outputs of that shape; parameters with
`requires_grad` train, each with a leading run axis. Initial values are drawn per member (`features.generator.normals`),
so that a member starts the same alone and in a pack. The protocols below are of what a student may offer besides.
Axis legend: `r` run, `s` sample, `n` feature, `k` hidden.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config import ConfigError, RunConfig
from superdyn.config.targets import resolve_target
from superdyn.features.batches import SparseBatch
from superdyn.models.gradients import Gradients
from superdyn.models.risk import Population

DTYPES = {"32-true": torch.float32, "64-true": torch.float64, "bf16-mixed": torch.float32}
"""Of parameters and their gradients; bf16-mixed rounds inside the forward pass only."""


@runtime_checkable
class LinearStudent(Protocol):
    """A student y = M x + c also offers its map, and is then measured (and can train) on the exact population risk."""

    def linear_map(self) -> Float[Tensor, "r n n"]: ...

    def offset(self) -> Float[Tensor, "r n"] | None: ...


@runtime_checkable
class ExplicitStudent(Protocol):
    """A student may write its gradients out on sparse batches instead of leaving them to autograd on dense ones.

    Gradients come by parameter name. `population_*` are called for linear students only.
    """

    def sampled_gradients(self, batch: SparseBatch, importance: Float[Tensor, "r n"]) -> Gradients: ...

    def sampled_feature_loss(
        self, batch: SparseBatch, importance: Float[Tensor, "r n"], weights: Float[Tensor, "r s"]
    ) -> Float[Tensor, "r n"]:
        """Σ_s w_s (y_si − A_ii x_si)²."""
        ...

    def population_gradients(self, population: Population) -> Gradients: ...

    def population_feature_loss(self, population: Population) -> Float[Tensor, "r n"]: ...


@runtime_checkable
class EmbeddingStudent(Protocol):
    """A student with an embedding also offers it, and superposition measures are then recorded."""

    def embedding(self) -> Float[Tensor, "r k n"]: ...


def student_class(target: str) -> type[nn.Module]:
    """The class that `model._target_` names.

    Raises:
        ConfigError: it may not be named or cannot be imported, or is not a `torch.nn.Module`.
    """
    found = resolve_target("model._target_", target)
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"model._target_={target!r}: must be a torch.nn.Module that maps (r, s, n) to (r, s, n).")
    return found


def build_student(configs: Sequence[RunConfig]) -> nn.Module:
    """The students of all members of a pack.

    Raises:
        ConfigError: `model._target_` names no student, one with nothing to train, or one whose parameters lack the run
            axis.
    """
    target = configs[0].model.target
    student = student_class(target)(configs)
    _check_run_axis(student, target, len(configs))
    return student


def is_linear(student: nn.Module, config: RunConfig) -> bool:
    """Whether the student has an exact population risk.

    Raises:
        ConfigError: it has none and `loss=population` asks for it.
    """
    linear = isinstance(student, LinearStudent) and config.model.activation == "linear" and config.data.lag == 0
    if config.loss == "population" and not linear:
        raise ConfigError(
            f"loss=population: the student {config.model.target!r} offers no linear_map() and offset(), so it has "
            f"no exact risk; allowed is loss=sampled."
        )
    return linear


def _check_run_axis(student: nn.Module, target: str, n_members: int) -> None:
    if not any(parameter.requires_grad for parameter in student.parameters()):
        raise ConfigError(f"model._target_={target!r}: has no parameter to train; at least one is needed.")
    for name, parameter in student.named_parameters():
        if parameter.ndim < 2 or parameter.shape[0] != n_members:
            raise ConfigError(
                f"model._target_={target!r}: parameter {name} has shape {tuple(parameter.shape)}; allowed are shapes "
                f"with the run axis first, here ({n_members}, ...), and at least one more axis."
            )
    for name, buffer in student.state_dict().items():
        if buffer.ndim < 1 or buffer.shape[0] != n_members:
            raise ConfigError(
                f"model._target_={target!r}: buffer {name} has shape {tuple(buffer.shape)}; allowed are shapes with "
                f"the run axis first, here ({n_members}, ...), or register_buffer(..., persistent=False)."
            )
