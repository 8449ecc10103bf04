"""The position-wise map of a block: W_down act(W_up x), or SwiGLU, W_down (silu(W_gate x) ∘ W_up x) (Shazeer 2020).

GELU is the tanh form of GPT-2 (Hendrycks & Gimpel 2016). Axis legend: `r` run, `s` sample, `t` position, `k` hidden.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.decoder_settings import DecoderShape
from superdyn.models.decoder.initial import Initial
from superdyn.models.decoder.linear import StackedLinear


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
        up = self.up(x)
        if self.gate is not None:
            return self.down(F.silu(self.gate(x)) * up)
        return self.down(torch.relu(up) if self._rectified else F.gelu(up, approximate="tanh"))
