"""Layer norm (Ba, Kiros, Hinton 2016) and RMS norm (Zhang & Sennrich 2019) with a gain of every member's own.

y = g ∘ (x − mean)/√(var + ε) + b, or y = g ∘ x/√(mean x² + ε). Axis legend: `r` run, `s` sample, `t` position,
`k` hidden.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config.decoder import DecoderShape
from superdyn.models.decoder.initial import Initial


class StackedNorm(nn.Module):
    """Parameters: `gain` (r, k) and, for a layer norm with `bias`, `bias` (r, k)."""

    def __init__(self, shape: DecoderShape, initial: Initial):
        super().__init__()
        self._normalised = F.rms_norm if shape.norm == "rms" else F.layer_norm
        self._eps = shape.norm_eps
        self.gain = initial.constant(1.0, (shape.width,))
        self.bias = initial.constant(0.0, (shape.width,)) if shape.bias and shape.norm == "layer" else None

    def forward(self, x: Float[Tensor, "r s t k"]) -> Float[Tensor, "r s t k"]:
        y = self._normalised(x, x.shape[-1:], eps=self._eps) * self.gain[:, None, None]
        return y if self.bias is None else y + self.bias[:, None, None]
