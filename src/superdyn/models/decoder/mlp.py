"""The position-wise map of a block: W_down act(W_up x), or SwiGLU, W_down (silu(W_gate x) ∘ W_up x) (Shazeer 2020).

GELU is the tanh form of GPT-2 (Hendrycks & Gimpel 2016). Axis legend: `r` run, `s` sample, `t` position, `k` hidden.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config.decoder import DecoderShape
from superdyn.models.decoder.initial import Initial
from superdyn.models.decoder.linear import StackedLinear, side_by_side

_VECTORS = 64
"""Entries that vector code takes at once, at most."""


class MLP(nn.Module):
    """Parameters: `up`, `down` and, for swiglu, `gate`, linear maps."""

    def __init__(self, shape: DecoderShape, initial: Initial, name: str, residual: float):
        super().__init__()
        width, inner, bias = shape.width, shape.mlp_width, shape.bias
        self._rectified = shape.mlp == "relu"
        self.gate = StackedLinear(initial, f"{name}.gate", width, inner, bias=bias) if shape.mlp == "swiglu" else None
        self.up = StackedLinear(initial, f"{name}.up", width, inner, bias=bias)
        self.down = StackedLinear(initial, f"{name}.down", inner, width, bias=bias, factor=residual)

    def forward(self, x: Float[Tensor, "r s t k"]) -> Float[Tensor, "r s t k"]:
        if self.gate is not None:
            up, gate = side_by_side((self.up, self.gate), x)
            return self.down(_memberwise(F.silu, gate) * up)
        up = self.up(x)
        return self.down(torch.relu(up) if self._rectified else _memberwise(_gelu, up))


def _gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


def _memberwise(activation: Callable[[Tensor], Tensor], x: Float[Tensor, "r s t k"]) -> Float[Tensor, "r s t k"]:
    """`activation` of every entry, with the bits of a pack of one.

    On the CPU torch takes a few entries at the end of a thread's part by scalar code, which rounds otherwise than the
    vector code; where such ends could fall differently in a pack, members are taken one by one.
    """
    if not x.is_cpu or len(x) == 1 or falls_into_whole_vectors(x[0].numel(), torch.get_num_threads()):
        return activation(x)
    return torch.stack([activation(member) for member in x])


def falls_into_whole_vectors(entries: int, threads: int) -> bool:
    """Whether no number of threads up to this one leaves a member's entries with an end of its own."""
    return entries % (_VECTORS * math.lcm(*range(1, threads + 1))) == 0
