"""Layer norm (Ba, Kiros, Hinton 2016) and RMS norm (Zhang & Sennrich 2019) with a gain of every member's own.

y = g ∘ (x − mean)/√(var + ε) + b, or y = g ∘ x/√(mean x² + ε). Axis legend: `r` run, `s` sample, `t` position,
`k` hidden.
"""

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
        y = F.layer_norm(x, x.shape[-1:], eps=self._eps) * self.gain[:, None, None]
        return y if self.bias is None else y + self.bias[:, None, None]


class _LayerNorm(torch.autograd.Function):
    """One step of autograd that keeps x̂ = (x − mean)/σ and 1/σ, where its parts would keep x and x̂.

    The gradient is (u − mean u − x̂ mean(u x̂))/σ with u = g ∘ upstream: that of a norm of x̂ itself, over σ.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor | None, eps: float) -> Tensor:
        # torch's kernel is vector code only where it is given a gain and a bias.
        ones, zeros = x.new_ones(x.shape[-1]), x.new_zeros(x.shape[-1])
        normed, _, inverse = torch.native_layer_norm(x, x.shape[-1:], ones, zeros, eps)
        ctx.save_for_backward(normed, inverse, gain)
        y = normed * gain[:, None, None]
        return y if bias is None else y.add_(bias[:, None, None])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (upstream,) = gradients
        normed, inverse, gain = ctx.saved_tensors
        needs_x, needs_gain, needs_bias, _ = ctx.needs_input_grad
        d_gain = (upstream * normed).sum(dim=(1, 2)) if needs_gain else None
        d_bias = upstream.sum(dim=(1, 2)) if needs_bias else None
        if not needs_x:
            return None, d_gain, d_bias, None
        scaled, shape = upstream * gain[:, None, None], upstream.shape[-1:]
        mean, one = torch.zeros_like(inverse), torch.ones_like(inverse)
        wanted = [True, False, False]
        d_x, _, _ = torch.ops.aten.native_layer_norm_backward(scaled, normed, shape, mean, one, None, None, wanted)
        return d_x.mul_(inverse), d_gain, d_bias, None
