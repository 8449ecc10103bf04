"""Linear map of every member, y = x Wᵀ + b, with W (out × in) as in torch.nn.Linear.

That orientation is also what Muon's factor √max(1, rows/columns) is about. Map and gradients are one step of autograd:
in small models the calls cost more than the arithmetic. On a GPU a single run's map is torch's own instead, whose
kernel adds the bias, and maps of the same input are one product, which keeps a copy of their weights until it is
differentiated; so not where weights are sharded.
Axis legend: `r` run, `i` in, `o` out, `m` row of all samples.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.models.decoder.initial import Initial
from superdyn.models.product import autocast_operands, multiply, rounds


class StackedLinear(nn.Module):
    """Parameters: `weight` (r, out, in) and, if asked for, `bias` (r, out).

    Args:
        factor: of the initial weights, for maps that write into the residual stream.

    Attributes:
        sharded: whether the whole weights exist only while they are used.
    """

    sharded = False

    def __init__(self, initial: Initial, name: str, n_in: int, n_out: int, *, bias: bool, factor: float = 1.0):
        super().__init__()
        self.weight = initial.weights(f"{name}.weight", (n_out, n_in), factor)
        self.bias = initial.constant(0.0, (n_out,)) if bias else None

    def forward(self, x: Float[Tensor, "r s t i"]) -> Float[Tensor, "r s t o"]:
        if lone_on_gpu(x):
            return lone_product(x, [self])
        x, weight = autocast_operands(x, self.weight)
        bias = None if self.bias is None else self.bias.to(weight.dtype)
        return _Linear.apply(x, weight, bias)  # pyright: ignore[reportReturnType]


def lone_on_gpu(x: Float[Tensor, "r s t i"]) -> bool:
    """Whether there is one run, on a GPU, whose operands are not to be rounded by ourselves."""
    return x.is_cuda and len(x) == 1 and not rounds(x.dtype)


def side_by_side(maps: Sequence[StackedLinear], x: Float[Tensor, "r s t i"]) -> list[Float[Tensor, "r s t _"]]:
    """What each of these maps makes of x."""
    if lone_on_gpu(x) and not maps[0].sharded:
        return list(lone_product(x, maps).split([own.weight.shape[1] for own in maps], dim=-1))
    return [own(x) for own in maps]


def lone_product(x: Float[Tensor, "1 s t i"], maps: Sequence[StackedLinear]) -> Float[Tensor, "1 s t o"]:
    """What these maps make of the x of one run, side by side, in one product with the bias in it."""
    weights, biases = ([getattr(own, kind) for own in maps] for kind in ("weight", "bias"))
    bias = None if biases[0] is None else _joined(biases)
    return F.linear(x.squeeze(0), _joined(weights), bias).unsqueeze(0)


def _joined(parts: Sequence[Float[Tensor, "1 ..."]]) -> Float[Tensor, "..."]:
    return parts[0].squeeze(0) if len(parts) == 1 else torch.cat([part.squeeze(0) for part in parts])


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        rows = x.flatten(1, 2)
        ctx.save_for_backward(rows, weight)
        y = multiply(rows, weight.mT)
        if bias is not None:
            y.add_(bias.unsqueeze(1))
        return y.view(*x.shape[:3], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        (upstream,) = gradients
        shape, upstream = upstream.shape[:3], upstream.flatten(1, 2)
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        return (
            multiply(upstream, weight).view(*shape, -1) if needs_x else None,
            multiply(upstream.mT, rows) if needs_weight else None,
            upstream.sum(dim=1) if needs_bias else None,
        )
