"""The small transformer on sequences of feature vectors: y_t = act(W_dᵀ P blocks(W_e x)_t).

W_e (K×N) embeds, W_d (K×N; tied: W_e) unembeds; with `head_rank` P (rank×K) comes before a W_d of rank × N, else it is
the identity. There is no last norm: the amplitude of a feature is what the target asks for. Without layers it is the
student family's W_dᵀ W_e, to the bit. Axis legend: `r` run, `s` sample, `t` position, `n` feature, `k` hidden.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config.decoder import DecoderShape
from superdyn.models.decoder.block import Blocks
from superdyn.models.decoder.initial import Initial
from superdyn.models.embedding import initial_embedding
from superdyn.models.product import product


class FeatureTransformer(nn.Module):
    """Stacked transformers, one per seed.

    Args:
        seeds, init_scales: one per member; without scales every member has `shape.init_scale`, which is of the blocks
            only: the embeddings start as `encoder_init` says, as in the student family.

    Attributes:
        encoder: W_e, (r, k, n).
        decoder: W_d, (r, k or rank, n), or None when tied.
        head: P, (r, rank, k), or None.
        blocks: the blocks.
    """

    def __init__(
        self,
        shape: DecoderShape,
        seeds: Sequence[int],
        n_features: int,
        *,
        activation: Literal["linear", "relu"] = "linear",
        encoder_init: Literal["orthogonal", "gaussian"] = "gaussian",
        init_scales: Sequence[float] | None = None,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        initial = Initial(seeds, [shape.init_scale] * len(seeds) if init_scales is None else init_scales, dtype)
        rank = shape.head_rank or shape.width
        self._shape, self._rectified = shape, activation == "relu"
        self.encoder = _embeddings(initial, encoder_init, shape.width, n_features, "encoder")
        self.decoder = None if shape.tied else _embeddings(initial, encoder_init, rank, n_features, "decoder")
        self.head = initial.unit("head", (rank, shape.width), rank**-0.5) if shape.head_rank else None
        self.blocks = Blocks(shape, initial, "blocks")

    def forward(self, x: Float[Tensor, "r s t n"]) -> Float[Tensor, "r s t n"]:
        """Outputs of every member for its own sequences.

        Raises:
            ConfigError: they are longer than the context.
        """
        self._shape.check_length(x.shape[2])
        hidden = product(x.flatten(1, 2), self.encoder.mT)
        hidden = self.blocks(hidden.unflatten(1, x.shape[1:3])).flatten(1, 2)
        if self.head is not None:
            hidden = product(hidden, self.head.mT)
        output = product(hidden, self.encoder if self.decoder is None else self.decoder)
        return (torch.relu(output) if self._rectified else output).unflatten(1, x.shape[1:3])

    def embedding(self) -> Float[Tensor, "r k n"]:
        """W_e, one column per feature."""
        return self.encoder


def _embeddings(initial: Initial, kind: str, width: int, n_features: int, tag: str) -> nn.Parameter:
    return initial.stacked([initial_embedding(seed, kind, width, n_features, tag) for seed in initial.seeds])
