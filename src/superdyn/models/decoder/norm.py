"""Layer norm (Ba, Kiros, Hinton 2016) and RMS norm (Zhang & Sennrich 2019) with a gain of every member's own.

y = g ∘ (x − mean)/√(var + ε) + b, or y = g ∘ x/√(mean x² + ε). Axis legend: `r` run, `s` sample, `t` position,
`k` hidden.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config.decoder import DecoderShape
from superdyn.models.decoder.initial import Initial


class StackedNorm(nn.Module):
    """Parameters: `gain` (r, k) and, for a layer norm with `bias`, `bias` (r, k)."""

    def __init__(self, shape: DecoderShape, initial: Initial):
        super().__init__()
        self._rms, self._eps = shape.norm == "rms", shape.norm_eps
        self.gain = initial.constant(1.0, (shape.width,))
        self.bias = initial.constant(0.0, (shape.width,)) if shape.bias and shape.norm == "layer" else None

    def forward(self, x: Float[Tensor, "r s t k"]) -> Float[Tensor, "r s t k"]:
        if self._rms:
            return F.rms_norm(x, x.shape[-1:], eps=self._eps) * self.gain[:, None, None]
        if x.is_cpu:
            return _LayerNorm.apply(x, self.gain, self.bias, self._eps)  # pyright: ignore[reportReturnType]
        if len(x) == 1:
            bias = None if self.bias is None else self.bias.squeeze(0)
            return F.layer_norm(x, x.shape[-1:], self.gain.squeeze(0), bias, self._eps)
        y = F.layer_norm(x, x.shape[-1:], eps=self._eps) * self.gain[:, None, None]
        return y if self.bias is None else y + self.bias[:, None, None]


class _LayerNorm(torch.autograd.Function):
    """One step of autograd and, for every member, one call of the kernel each way.

    The kernel's own gradients of gain and bias are left out: their sums depend on the number of threads.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor | None, eps: float) -> Tensor:
        offset = torch.zeros_like(gain) if bias is None else bias  # without one the kernel is no vector code
        members = [
            torch.native_layer_norm(one, one.shape[-1:], g, b, eps) for one, g, b in zip(x, gain, offset, strict=True)
        ]
        y, mean, inverse = (_stacked(part) for part in zip(*members, strict=True))
        ctx.save_for_backward(x, mean, inverse, gain, offset)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        needs_x, needs_gain, needs_bias, _ = ctx.needs_input_grad
        (upstream,) = gradients
        saved = ctx.saved_tensors  # once: recomputed activations are given out a single time
        x, mean, inverse, _, _ = saved
        d_x = d_gain = None
        if needs_gain:
            d_gain = (x - mean).mul_(inverse).mul_(upstream).sum(dim=(1, 2))
        if needs_x:
            members = zip(upstream, *saved, strict=True)
            d_x = _stacked([_norm_gradient(*member) for member in members])
        return d_x, d_gain, upstream.sum(dim=(1, 2)) if needs_bias else None, None


def _norm_gradient(upstream: Tensor, x: Tensor, *statistics_gain_bias: Tensor) -> Tensor:
    wanted = [True, False, False]
    return torch.ops.aten.native_layer_norm_backward(upstream, x, x.shape[-1:], *statistics_gain_bias, wanted)[0]


def _stacked(members: Sequence[Tensor]) -> Tensor:
    return members[0].unsqueeze(0) if len(members) == 1 else torch.stack(list(members))
