"""The matrices of y = act(W_dᵀ B W_e x + c), as they are now, for what computes gradients and losses from them.

Axis legend: `r` run, `n` feature, `k` hidden.
"""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.models.product import product


@dataclass(frozen=True)
class Weights:
    """Of the stacked students of a pack.

    Attributes:
        encoder: W_e, or None when it is the frozen identity.
        decoder: W_d, or None when tied to the encoder or the frozen identity.
        core: B, or None when it is the identity.
        bias: c, or None.
        rectified: act is relu, else the identity.
        trained: names of the parts of which there are gradients.
    """

    encoder: Float[Tensor, "r k n"] | None
    decoder: Float[Tensor, "r k n"] | None
    core: Float[Tensor, "r k k"] | None
    bias: Float[Tensor, "r n"] | None
    rectified: bool
    trained: Collection[str]

    @property
    def output_embedding(self) -> Float[Tensor, "r k n"] | None:
        """W_d, or None where it is the frozen identity."""
        return self.encoder if self.decoder is None else self.decoder

    @property
    def trains_embedding(self) -> bool:
        """Whether W_e, and with it W_d, trains."""
        return "encoder" in self.trained

    def inner_map(self) -> Float[Tensor, "r k n"]:
        """B W_e, without the factors that are the identity; differentiable."""
        if self.encoder is None:
            return self.identity() if self.core is None else self.core
        return self.encoder if self.core is None else product(self.core, self.encoder)

    def linear_map(self) -> Float[Tensor, "r n n"]:
        """M = W_dᵀ B W_e, the Jacobian of the student before its activation; differentiable."""
        decoder, inner = self.output_embedding, self.inner_map()
        return inner if decoder is None else product(decoder.mT, inner)

    def identity(self) -> Float[Tensor, "r n n"]:
        """A frozen identity embedding as a matrix."""
        parts = (part for part in (self.encoder, self.core, self.bias) if part is not None)
        reference = next(parts)
        n_members, n_features = reference.shape[0], reference.shape[-1]
        eye = torch.eye(n_features, dtype=reference.dtype, device=reference.device)
        return eye.expand(n_members, -1, -1)
