"""The population risk of linear students y = M x + c, M = W_dᵀ B W_e, and its gradients: exact, without a batch.

The loss is that of `risk.py`, in tiles of features. Gradients need no N × N array: with V = diag(v), E = B W_e,
G = W_d W_dᵀ and the mean error m = (M − A) μ + c,
    ∂E = (G E − W_d A) V + (W_d m) μᵀ,  ∂W_d = (E V Eᵀ) W_d − E V A + (E μ) mᵀ,  ∂B = ∂E W_eᵀ,  ∂W_e = Bᵀ ∂E,  ∂c = m.
Axis legend: `r` run, `n` feature, `k` hidden, `i` feature of a tile.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.models.gradients import Gradients
from superdyn.models.product import matvec, multiply
from superdyn.models.risk import Population, population_feature_loss
from superdyn.models.weights import Weights

_TILE_BYTES = 64 * 2**20
"""Largest part of one member's R that is held at once."""


@torch.no_grad()
def feature_loss(weights: Weights, population: Population) -> Float[Tensor, "r n"]:
    """ℓ of every feature, in tiles of rows of R."""
    decoder, inner = weights.output_embedding, weights.inner_map()
    offset, n = weights.bias, population.importance.shape[1]
    height = n if decoder is None else max(1, min(n, _TILE_BYTES // (n * inner.element_size())))
    parts = []
    for start in range(0, n, height):
        rows = slice(start, min(start + height, n))
        linear_map = inner if decoder is None else multiply(decoder[:, :, rows].mT, inner)
        bias = None if offset is None else offset[:, rows]
        parts.append(population_feature_loss(linear_map, bias, population, start))
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


@dataclass(frozen=True)
class FrozenProducts:
    """Of a frozen embedding: ∂B = G B M − D with G = W_d W_dᵀ, M = W_e Σ W_eᵀ, D = W_d A Σ W_eᵀ, Σ = V + μ μᵀ.

    Attributes:
        energy: tr(A Σ A).
    """

    g: Float[Tensor, "r k k"]
    m: Float[Tensor, "r k k"]
    d: Float[Tensor, "r k k"]
    energy: Float[Tensor, "r"]

    @classmethod
    @torch.no_grad()
    def of(cls, weights: Weights, population: Population) -> "FrozenProducts":
        """The products, made once and for all."""
        encoder, decoder = weights.encoder, weights.output_embedding
        assert encoder is not None
        assert decoder is not None
        target, variance, mean = population.importance, population.variance, population.mean
        m = multiply(encoder * variance[:, None, :], encoder.mT)
        d = multiply(decoder * (target * variance)[:, None, :], encoder.mT)
        second = variance
        if mean is not None:
            through = matvec(encoder, mean)
            m = m + through[:, :, None] * through[:, None, :]
            d = d + matvec(decoder, target * mean)[:, :, None] * through[:, None, :]
            second = variance + mean.square()
        return cls(multiply(decoder, decoder.mT), m, d, (target.square() * second).sum(dim=1))

    @torch.no_grad()
    def gradients(self, core: Float[Tensor, "r k k"]) -> Gradients:
        """As `population_gradients` where B alone trains, in two K × K products."""
        reached = multiply(multiply(self.g, core), self.m)
        gradient = reached - self.d
        loss = ((gradient - self.d) * core).sum(dim=(1, 2)) + self.energy
        return Gradients(0.5 * loss, {"core": gradient})


@torch.no_grad()
def population_gradients(weights: Weights, population: Population) -> Gradients:
    """L of each member (to ε L(0), see `gram.py`) and its exact gradients."""
    if weights.encoder is None:
        return _without_embedding(weights, population)
    encoder, decoder, core, bias = weights.encoder, weights.output_embedding, weights.core, weights.bias
    assert decoder is not None
    target, variance, mean = population.importance, population.variance, population.mean
    inner = weights.inner_map()
    weighted = multiply(multiply(decoder, decoder.mT), inner) - decoder * target[:, None, :]
    d_inner = weighted * variance[:, None, :]
    reached = (decoder * inner).sum(dim=1)
    loss = (d_inner * inner).sum(dim=(1, 2)) - (variance * target * (reached - target)).sum(dim=1)
    error = bias
    if mean is not None:
        through = matvec(inner, mean)
        error = matvec(decoder.mT, through) - target * mean + (0.0 if bias is None else bias)
        d_inner += matvec(decoder, error)[:, :, None] * mean[:, None, :]
    found: dict[str, Tensor] = {}
    if bias is not None:
        assert error is not None
        found["bias"] = error.clone()
    if error is not None:
        loss = loss + error.square().sum(dim=1)
    if core is not None:
        found["core"] = multiply(d_inner, encoder.mT)
    if weights.trains_embedding:
        energy = multiply(inner * variance[:, None, :], inner.mT)
        d_decoder = multiply(energy, decoder) - inner * (variance * target)[:, None, :]
        if mean is not None:
            assert error is not None
            d_decoder += matvec(inner, mean)[:, :, None] * error[:, None, :]
        d_encoder = d_inner if core is None else multiply(core.mT, d_inner)
        if weights.decoder is None:
            found["encoder"] = d_decoder.add_(d_encoder)
        else:
            found |= {"decoder": d_decoder, "encoder": d_encoder}
    return Gradients(0.5 * loss, found)


def _without_embedding(weights: Weights, population: Population) -> Gradients:
    """M = B or the identity: ∂B = R V + m μᵀ."""
    residual = weights.inner_map().clone()
    residual.diagonal(dim1=1, dim2=2).sub_(population.importance)
    weighted = residual * population.variance[:, None, :]
    loss = (residual * weighted).sum(dim=(1, 2))
    error = weights.bias
    if population.mean is not None:
        drift = matvec(residual, population.mean)
        error = drift if error is None else drift + error
        weighted += error[:, :, None] * population.mean[:, None, :]
    found = {} if weights.core is None else {"core": weighted}
    if error is not None:
        loss = loss + error.square().sum(dim=1)
        if weights.bias is not None:
            found["bias"] = error.clone()
    return Gradients(0.5 * loss, found)
