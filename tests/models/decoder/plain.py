"""One member's decoder as plain torch modules, written apart from the stacked one: the reference of the tests.

Attention is a masked softmax written out, keys and values are repeated for their query heads, rotary positions are
multiplications by complex numbers.
"""

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from superdyn.config.decoder import DecoderShape


class PlainAttention(nn.Module):
    def __init__(self, shape: DecoderShape):
        super().__init__()
        self.shape = shape
        kv_width = shape.n_kv_heads * shape.width // shape.n_heads
        self.query = nn.Linear(shape.width, shape.width, bias=shape.bias)
        self.key = nn.Linear(shape.width, kv_width, bias=shape.bias)
        self.value = nn.Linear(shape.width, kv_width, bias=shape.bias)
        self.out = nn.Linear(shape.width, shape.width, bias=shape.bias)

    def heads(self, x: Tensor) -> Tensor:
        """(s, t, heads·d) to (s, heads, t, d)."""
        return x.reshape(*x.shape[:2], -1, self.shape.width // self.shape.n_heads).permute(0, 2, 1, 3)

    def turned(self, x: Tensor) -> Tensor:
        t, d = x.shape[-2:]
        angles = torch.arange(t)[:, None] * self.shape.rope_base ** (-2 * torch.arange(d // 2) / d)
        z = torch.complex(x[..., : d // 2], x[..., d // 2 :]) * torch.polar(torch.ones_like(angles), angles)
        return torch.cat([z.real, z.imag], dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self.heads(linear(x)) for linear in (self.query, self.key, self.value))
        if self.shape.positions == "rotary":
            q, k = self.turned(q), self.turned(k)
        k, v = (z.repeat_interleave(q.shape[1] // z.shape[1], dim=1) for z in (k, v))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)
        mixed = scores.masked_fill(later, -math.inf).softmax(-1) @ v
        return self.out(mixed.permute(0, 2, 1, 3).reshape(x.shape))


class PlainMLP(nn.Module):
    def __init__(self, shape: DecoderShape):
        super().__init__()
        self.kind = shape.mlp
        self.up = nn.Linear(shape.width, shape.mlp_width, bias=shape.bias)
        self.down = nn.Linear(shape.mlp_width, shape.width, bias=shape.bias)
        self.gate = nn.Linear(shape.width, shape.mlp_width, bias=shape.bias) if shape.mlp == "swiglu" else None

    def forward(self, x: Tensor) -> Tensor:
        if self.gate is not None:
            gate = self.gate(x)
            return self.down(gate * torch.sigmoid(gate) * self.up(x))
        up = self.up(x)
        if self.kind == "relu":
            return self.down(up.clamp(min=0))
        inner = math.sqrt(2 / math.pi) * (up + 0.044715 * up**3)
        return self.down(0.5 * up * (1 + torch.tanh(inner)))


def plain_norm(shape: DecoderShape) -> nn.Module:
    if shape.norm == "rms":
        return nn.RMSNorm(shape.width, eps=shape.norm_eps)
    return nn.LayerNorm(shape.width, eps=shape.norm_eps, bias=shape.bias)


class PlainBlock(nn.Module):
    def __init__(self, shape: DecoderShape):
        super().__init__()
        self.attention_norm, self.mlp_norm = plain_norm(shape), plain_norm(shape)
        self.attention, self.mlp = PlainAttention(shape), PlainMLP(shape)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class PlainBlocks(nn.Module):
    def __init__(self, shape: DecoderShape):
        super().__init__()
        learned = shape.positions == "learned" and shape.n_layers
        self.positions = nn.Parameter(torch.empty(shape.context, shape.width)) if learned else None
        self.layers = nn.ModuleList(PlainBlock(shape) for _ in range(shape.n_layers))

    def forward(self, x: Tensor) -> Tensor:
        x = x if self.positions is None else x + self.positions[: x.shape[1]]
        for layer in self.layers:
            x = layer(x)
        return x


class PlainDecoder(nn.Module):
    """Either family: with `last_norm` a language model on tokens (s, t), else a feature transformer on (s, t, n)."""

    def __init__(self, shape: DecoderShape, n: int, *, last_norm: bool, rectified: bool = False):
        super().__init__()
        self.rectified = rectified
        rank = shape.head_rank or shape.width
        self.encoder = nn.Parameter(torch.empty(shape.width, n))
        self.decoder = None if shape.tied else nn.Parameter(torch.empty(rank, n))
        self.head = nn.Parameter(torch.empty(rank, shape.width)) if shape.head_rank else None
        self.blocks = PlainBlocks(shape)
        self.norm = plain_norm(shape) if last_norm else None

    def forward(self, x: Tensor) -> Tensor:
        hidden = x @ self.encoder.T if x.is_floating_point() else F.embedding(x, self.encoder.T)
        hidden = self.blocks(hidden)
        hidden = hidden if self.norm is None else self.norm(hidden)
        hidden = hidden if self.head is None else hidden @ self.head.T
        y = hidden @ (self.encoder if self.decoder is None else self.decoder)
        return y.clamp(min=0) if self.rectified else y


def stacked_name(name: str) -> str:
    """The name in the stacked model of a parameter of the plain one: a norm's weight is called its gain."""
    return name.replace("norm.weight", "norm.gain")


def of_member(plain: PlainDecoder, stacked: Mapping[str, Tensor], r: int) -> PlainDecoder:
    """`plain` with the parameters of member `r`; every parameter of either is used."""
    names = {stacked_name(name): parameter for name, parameter in plain.named_parameters()}
    assert names.keys() == stacked.keys()
    for name, parameter in names.items():
        parameter.data = stacked[name].detach()[r].clone()
    return plain


def shaken(model: nn.Module, scale: float = 0.3) -> nn.Module:
    """The model with every parameter moved at random, biases and gains too."""
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.data += scale * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
    return model
