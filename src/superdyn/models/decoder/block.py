"""Pre-norm decoder blocks and their stack: x += attention(norm(x)); x += mlp(norm(x)).

Axis legend: `r` run, `s` sample, `t` position, `k` hidden.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from superdyn.config.decoder import DecoderShape
from superdyn.models.decoder.attention import Attention
from superdyn.models.decoder.initial import Initial
from superdyn.models.decoder.mlp import MLP
from superdyn.models.decoder.norm import StackedNorm

_GRAPH_LAYERS = 32
"""Layers of which torch makes one graph; to compile takes a few seconds for each."""


def fit_one_graph(n_layers: int, *, recompute: bool) -> bool:
    """Whether blocks are compiled with all that comes before and after them, not one by one: where each keeps only its
    input, or there are too many of them, one is compiled for all."""
    return n_layers <= _GRAPH_LAYERS and not recompute


class Block(nn.Module):
    """Parts: `attention_norm`, `attention`, `mlp_norm`, `mlp`."""

    def __init__(self, shape: DecoderShape, initial: Initial, name: str):
        super().__init__()
        residual = 1 / math.sqrt(2 * shape.n_layers) if shape.residual_scaling else 1.0
        self.attention_norm = StackedNorm(shape, initial)
        self.attention = Attention(shape, initial, f"{name}.attention", residual)
        self.mlp_norm = StackedNorm(shape, initial)
        self.mlp = MLP(shape, initial, f"{name}.mlp", residual)

    def forward(self, x: Float[Tensor, "r s t k"]) -> Float[Tensor, "r s t k"]:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class Blocks(nn.Module):
    """Learned positions where asked for, and the blocks in order; without layers the identity.

    Parameters: `positions` (r, context, k) or None, and `layers`.

    Attributes:
        recompute: keep only the input of every block for the backward pass and compute the rest again.
    """

    recompute = False

    def __init__(self, shape: DecoderShape, initial: Initial, name: str):
        super().__init__()
        learned = shape.positions == "learned" and shape.n_layers > 0
        self.positions = initial.weights(f"{name}.positions", (shape.context, shape.width)) if learned else None
        self.layers = nn.ModuleList(Block(shape, initial, f"{name}.layers.{i}") for i in range(shape.n_layers))

    @property
    def fit_one_graph(self) -> bool:
        """Whether all of them should be compiled together."""
        return fit_one_graph(len(self.layers), recompute=self.recompute)

    def compile_layers(self, backend: str = "inductor") -> None:
        """Have torch compile every block, once for all of them since their code and shapes are the same.

        What is compiled is `forward` alone: hooks that gather sharded parameters stay outside.
        """
        for layer in self.layers:
            layer.forward = torch.compile(layer.forward, dynamic=False, backend=backend)

    def forward(self, x: Float[Tensor, "r s t k"]) -> Float[Tensor, "r s t k"]:
        if self.positions is not None:
            x = x + self.positions[:, None, : x.shape[2]]
        recompute = self.recompute and torch.is_grad_enabled()
        for layer in self.layers:
            x = checkpoint(layer, x, use_reentrant=False, preserve_rng_state=False) if recompute else layer(x)
        return x
