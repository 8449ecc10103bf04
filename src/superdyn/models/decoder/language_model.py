"""A decoder-only language model: logits_t = W_dᵀ P norm(blocks(W_e[x])_t), tokens in the place of features.

W_e (k×V) has a column per token, W_d (k×V; tied: W_e) unembeds; with `head_rank` P (rank×k) comes before a W_d of
rank × V, else it is the identity. A pack of one is a language model like any other.
Axis legend: `r` run, `s` sample, `t` position, `v` token of the vocabulary, `k` hidden.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from superdyn.config.decoder import DecoderShape
from superdyn.models.decoder.block import Blocks
from superdyn.models.decoder.initial import Initial
from superdyn.models.decoder.losses import WHOLE_TILE_BYTES, LossKind, TokenLoss, token_loss
from superdyn.models.decoder.norm import StackedNorm
from superdyn.models.product import autocast_operands, product


class LanguageModel(nn.Module):
    """Stacked language models, one per seed.

    Attributes:
        encoder: W_e, (r, k, V).
        decoder: W_d, (r, k or rank, V), or None when tied.
        head: P, (r, rank, k), or None.
        blocks: the blocks.
        norm: the last norm.
    """

    def __init__(
        self,
        shape: DecoderShape,
        seeds: Sequence[int],
        vocabulary: int,
        *,
        dtype: torch.dtype = torch.float32,
    ):
        super().__init__()
        initial = Initial(seeds, [shape.init_scale] * len(seeds), dtype)
        rank = shape.head_rank or shape.width
        self._shape = shape
        self.encoder = initial.weights("encoder", (shape.width, vocabulary))
        self.decoder = None if shape.tied else initial.weights("decoder", (rank, vocabulary))
        self.head = initial.unit("head", (rank, shape.width), rank**-0.5) if shape.head_rank else None
        self.blocks = Blocks(shape, initial, "blocks")
        self.norm = StackedNorm(shape, initial)
        self._backend: str | None = None
        self._whole: Callable[..., TokenLoss] | None = None

    def compile_parts(self, backend: str = "inductor") -> None:
        """Have torch compile every block, and what is done to a tile of logits."""
        self.blocks.compile_layers(backend)
        self._backend = backend

    def compile_whole(self, backend: str = "inductor") -> None:
        """Have torch compile the loss from the tokens on, to be differentiated, as one function."""
        self._whole = torch.compile(self._whole_loss, dynamic=False, backend=backend)

    def forward(self, tokens: Int[Tensor, "r s t"]) -> Float[Tensor, "r s t v"]:
        """Logits of the next token at every position.

        Raises:
            ConfigError: the sequences are longer than the context.
        """
        return product(self.hidden(tokens), self.output_embedding()).unflatten(1, tokens.shape[1:])

    def loss(self, tokens: Int[Tensor, "r s t"], targets: Int[Tensor, "r s t"], kind: LossKind) -> TokenLoss:
        """Loss of predicting `targets` (the tokens one position later), without all logits at once."""
        if self._whole is not None and torch.is_grad_enabled():
            return self._whole(tokens, targets, kind)
        return token_loss(self.hidden(tokens), self.output_embedding(), targets.flatten(1), kind, backend=self._backend)

    def _whole_loss(self, tokens: Tensor, targets: Tensor, kind: LossKind) -> TokenLoss:
        encoder = _with_dense_gradient(self.encoder)
        decoder = encoder if self.decoder is None else self.decoder
        hidden, decoder = autocast_operands(self._hidden(encoder, tokens), decoder)
        tile_bytes = WHOLE_TILE_BYTES * 4 // hidden.element_size()  # float32 is what tiles are counted in
        return token_loss(hidden, decoder, targets.flatten(1), kind, tile_bytes)

    def hidden(self, tokens: Int[Tensor, "r s t"]) -> Float[Tensor, "r m k"]:
        """What the unembedding multiplies, positions of all samples in one axis `m`."""
        return self._hidden(self.encoder, tokens)

    def _hidden(self, encoder: Float[Tensor, "r i v"], tokens: Int[Tensor, "r s t"]) -> Float[Tensor, "r m k"]:
        self._shape.check_length(tokens.shape[2])
        hidden = self.norm(self.blocks(looked_up(encoder, tokens))).flatten(1, 2)
        return hidden if self.head is None else product(hidden, self.head.mT)

    def output_embedding(self) -> Float[Tensor, "r k v"]:
        """W_d, one column per token."""
        return self.encoder if self.decoder is None else self.decoder

    def embedding(self) -> Float[Tensor, "r k v"]:
        """W_e, one column per token."""
        return self.encoder


def looked_up(encoder: Float[Tensor, "r k v"], tokens: Int[Tensor, "r s t"]) -> Float[Tensor, "r s t k"]:
    """The column of each token, from a copy with a row per token where that pays: for a pack, or as many tokens."""
    runs, width, vocabulary = encoder.shape
    rows = encoder.mT.reshape(runs * vocabulary, width)
    if tokens[0].numel() >= vocabulary:
        rows = rows.contiguous()
    if runs > 1:
        tokens = tokens + torch.arange(runs, device=tokens.device)[:, None, None] * vocabulary
    return F.embedding(tokens, rows)


class _DenseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> Tensor:
        return gradients[0].contiguous()


def _with_dense_gradient(x: Float[Tensor, "r k v"]) -> Float[Tensor, "r k v"]:
    """x itself, whose gradient lies in memory as x does: those of the look-up and of the logits may not."""
    return _DenseGradient.apply(x)  # pyright: ignore[reportReturnType]
