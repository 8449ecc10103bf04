"""Plain PyTorch for a language model: ordinary modules without a run axis, and the loop of its tutorials, tuned.

One linear map makes queries, keys and values; attention is torch's, cross-entropy takes all logits, AdamW is fused,
gradients are set to None, nothing is read back. On a GPU products are rounded to bfloat16 by autocast, and torch
compiles every block, or the whole model with its loss. Axis legend: `s` sample, `t` position, `v` token.
"""

from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from superdyn.bench.language_workload import BETAS, WEIGHT_DECAY, ZIPF_EXPONENT, LanguageWorkload
from superdyn.features.tokens.batch import TokenBatch
from superdyn.features.tokens.zipf import ZipfTokens


class Attention(nn.Module):
    """Causal self-attention."""

    def __init__(self, width: int, n_heads: int):
        super().__init__()
        self.n_heads = n_heads
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        heads = self.qkv(x).unflatten(2, (3, self.n_heads, -1)).transpose(1, 3)
        query, key, value = heads.unbind(2)
        mixed = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        return self.out(mixed.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x += attention(norm(x)); x += mlp(norm(x))."""

    def __init__(self, width: int, n_heads: int):
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, n_heads)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(approximate="tanh"), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.attention_norm(x))
        return x + self.mlp(self.mlp_norm(x))


class PlainDecoder(nn.Module):
    """A GPT-2 of the workload's size with the initial weights of such a model."""

    def __init__(self, workload: LanguageWorkload):
        super().__init__()
        width = workload.width
        self.tokens = nn.Embedding(workload.vocabulary, width)
        self.positions = nn.Embedding(workload.context, width)
        self.layers = nn.ModuleList(Block(width, workload.n_heads) for _ in range(workload.n_layers))
        self.norm = nn.LayerNorm(width)
        for parameter in self.parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of the next token."""
        x = self.tokens(inputs) + self.positions.weight[: inputs.shape[1]]
        for layer in self.layers:
            x = layer(x)
        logits = F.linear(self.norm(x), self.tokens.weight)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def take(self, stacked: Mapping[str, Tensor], run: int) -> None:
        """Copy the weights of one run of superdyn's model; every one of them has a place here."""
        for name, own in self.named_parameters():
            own.copy_(torch.cat([_oriented(part, stacked[part][run]) for part in _stacked_names(name)]))


class PlainLanguageLoop:
    """One run; `train` goes on from where it is.

    Args:
        compiled: what torch compiles on a GPU: "blocks" or "whole".
    """

    def __init__(self, workload: LanguageWorkload, device: str, compiled: str = "blocks"):
        self.workload, self.device = workload, device
        self.model = PlainDecoder(workload).to(device)
        self.loss_of = self.model
        if device == "cuda" and compiled == "whole":
            self.loss_of = torch.compile(self.model)
        elif device == "cuda":
            for layer in self.model.layers:
                layer.compile()
        decayed = [p for p in self.model.parameters() if p.ndim == 2]
        spared = [p for p in self.model.parameters() if p.ndim == 1]
        groups = [{"params": decayed}, {"params": spared, "weight_decay": 0.0}]
        self.rule = torch.optim.AdamW(groups, workload.lr, BETAS, weight_decay=WEIGHT_DECAY, fused=True)
        self._cuts = ZipfTokens(workload.vocabulary, ZIPF_EXPONENT).cuts.to(device)

    def train(self, steps: int) -> None:
        """Train so many steps on tokens drawn here."""
        for _ in range(steps):
            self.step(self._drawn())
        if self.device == "cuda":
            torch.cuda.synchronize()

    def losses(self, batches: Sequence[TokenBatch]) -> list[float]:
        """The loss of every step on given batches."""
        return [self.step(batch).item() for batch in batches]

    def loss(self, batch: TokenBatch) -> float:
        """Of a batch, without training."""
        with torch.no_grad():
            return self.model(batch.inputs, batch.targets).item()

    def step(self, batch: TokenBatch) -> Tensor:
        """One optimizer step; returns the mean loss before it."""
        parts = self.workload.accumulate
        total = torch.zeros((), device=self.device)
        for inputs, targets in zip(batch.inputs.chunk(parts), batch.targets.chunk(parts), strict=True):
            with torch.autocast(self.device, torch.bfloat16, enabled=self.workload.precision == "bf16-mixed"):
                loss = self.loss_of(inputs, targets) / parts
            loss.backward()
            total += loss.detach()
        self.rule.step()
        self.rule.zero_grad(set_to_none=True)
        return total

    def _drawn(self) -> TokenBatch:
        shape = (self.workload.batch_size, self.workload.context + 1)
        tokens = torch.searchsorted(self._cuts, torch.rand(shape, device=self.device, dtype=torch.float64))
        return TokenBatch(tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous())


def _stacked_names(name: str) -> list[str]:
    """The parameters of superdyn's model that are this one of the plain model."""
    if name == "tokens.weight":
        return ["encoder"]
    if name == "positions.weight":
        return ["blocks.positions"]
    if "norm." in name:
        name = name.replace("norm.weight", "norm.gain")
    name = name.replace("mlp.0", "mlp.up").replace("mlp.2", "mlp.down")
    name = f"blocks.{name}" if name.startswith("layers") else name
    return [name.replace("qkv", part) for part in ("query", "key", "value")] if "qkv" in name else [name]


def _oriented(name: str, weight: Tensor) -> Tensor:
    return weight.T if name == "encoder" else weight
