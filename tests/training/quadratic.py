"""A bowl per member, ½ Σ c (θ − θ*)², whose gradient is elementwise: the same bits alone and in a pack."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from superdyn.config import OptimizerConfig
from superdyn.training.optimizers import make_optimizer
from superdyn.training.optimizers.protocol import StackedOptimizer

Tensors = dict[str, Tensor]


def bowl(n_members: int, k: int, n: int, dtype: torch.dtype) -> tuple[Tensors, Tensors, Tensors]:
    """Start, target and curvature of an encoder, a core and a bias, every member its own."""
    generator = torch.Generator().manual_seed(0)
    shapes = {"encoder": (k, n), "core": (k, k), "bias": (n,)}

    def draw() -> Tensors:
        return {
            name: torch.randn(n_members, *shape, generator=generator, dtype=dtype) for name, shape in shapes.items()
        }

    return draw(), draw(), {name: x.square() + 0.1 for name, x in draw().items()}


def members(tensors: Tensors, chosen: slice) -> Tensors:
    """A copy of some members, as if they had been created on their own."""
    return {name: tensor[chosen].clone() for name, tensor in tensors.items()}


def same_bits(a: Tensor, b: Tensor) -> bool:
    """Equal to the sign of a zero and the payload of a NaN."""
    integer = {4: torch.int32, 8: torch.int64}[a.element_size()]
    return torch.equal(a.contiguous().view(integer), b.contiguous().view(integer))


def gradients(parameters: Tensors, target: Tensors, curvature: Tensors) -> Tensors:
    return {name: (parameters[name] - target[name]) * curvature[name] for name in parameters}


def configs(name: str, rates: Sequence[float], decays: Sequence[float], **options: Any) -> list[OptimizerConfig]:
    return [
        OptimizerConfig(name=name, lr=lr, weight_decay=decay, **options)  # pyright: ignore[reportArgumentType]
        for lr, decay in zip(rates, decays, strict=True)
    ]


def descend(
    problem: tuple[Tensors, Tensors, Tensors], settings: list[OptimizerConfig], steps: int
) -> tuple[Tensors, StackedOptimizer]:
    """Parameters and optimizer after some steps at the members' own constant learning rates."""
    parameters, target, curvature = problem
    parameters = members(parameters, slice(None))
    optimizer = make_optimizer(parameters, settings)
    rates = torch.tensor([s.lr for s in settings], dtype=torch.float64)
    for _ in range(steps):
        optimizer.update(gradients(parameters, target, curvature), rates)
    return parameters, optimizer
