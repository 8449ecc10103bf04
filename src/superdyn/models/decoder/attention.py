"""Causal self-attention of every member, with as many keys and values as there are kv heads (Ainslie et al. 2023).

softmax(Q Kᵀ/√d) V over earlier positions, by torch's scaled_dot_product_attention. Its batch axis takes runs and
samples together; on the CPU that leaves a member the bits it has alone only where positions and head width are
multiples of 8, and elsewhere members are attended one by one.
Axis legend: `r` run, `s` sample, `h` head, `t` position, `d` dimension of a head, `k` hidden.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config.decoder import DecoderShape
from superdyn.models.decoder.initial import Initial
from superdyn.models.decoder.linear import StackedLinear, side_by_side
from superdyn.models.decoder.rotary import rotary_tables, rotated

_SAFE_MULTIPLE = 8
"""The kernel's blocks and vector registers then lie alike in every member."""


class Attention(nn.Module):
    """Parameters: `query`, `key`, `value`, `out`, linear maps."""

    cos: Tensor
    sin: Tensor

    def __init__(self, shape: DecoderShape, initial: Initial, name: str, residual: float):
        super().__init__()
        self._head_width, self._rotary = shape.head_width, shape.positions == "rotary"
        width, kv_width = shape.width, shape.n_kv_heads * shape.head_width
        self.query = StackedLinear(initial, f"{name}.query", width, width, bias=shape.bias)
        self.key = StackedLinear(initial, f"{name}.key", width, kv_width, bias=shape.bias)
        self.value = StackedLinear(initial, f"{name}.value", width, kv_width, bias=shape.bias)
        self.out = StackedLinear(initial, f"{name}.out", width, width, bias=shape.bias, factor=residual)
        if self._rotary:
            cos, sin = rotary_tables(shape.context, shape.head_width, shape.rope_base, initial.dtype)
            self.register_buffer("cos", cos, persistent=False)
            self.register_buffer("sin", sin, persistent=False)

    def forward(self, x: Float[Tensor, "r s t k"]) -> Float[Tensor, "r s t k"]:
        query, key, value = map(self._heads, side_by_side((self.query, self.key, self.value), x))
        if self._rotary:
            cos, sin = self.cos[: x.shape[2]], self.sin[: x.shape[2]]
            query, key = rotated(query, cos, sin), rotated(key, cos, sin)
        attended = causal_attention(query, key, value)
        return self.out(attended.transpose(2, 3).flatten(3))

    def _heads(self, x: Float[Tensor, "r s t k"]) -> Float[Tensor, "r s h t d"]:
        return x.view(*x.shape[:3], -1, self._head_width).transpose(2, 3)


def causal_attention(
    query: Float[Tensor, "r s h t d"], key: Float[Tensor, "r s g t d"], value: Float[Tensor, "r s g t d"]
) -> Float[Tensor, "r s h t d"]:
    """Every query attends to its own and earlier positions; head i uses keys and values of kv head i·g/h."""
    if query.is_cpu and (query.shape[3] | query.shape[4]) % _SAFE_MULTIPLE:
        members = zip(query, key, value, strict=True)
        return torch.stack([_realigned(_attend(*(_realigned(x) for x in member))) for member in members])
    attended = _attend(*(x.flatten(0, 1) for x in (query, key, value)))
    return attended.view(*query.shape[:2], *attended.shape[1:])


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=query.shape[1] != key.shape[1])


class _Realigned(torch.autograd.Function):
    """A copy that starts at an aligned address, as a lone member's tensors do, forward and backward."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.clone(memory_format=torch.preserve_format)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> Tensor:
        return gradients[0].clone(memory_format=torch.preserve_format)


def _realigned(x: Tensor) -> Tensor:
    return _Realigned.apply(x)  # pyright: ignore[reportReturnType]
