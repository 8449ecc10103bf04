"""Gradients of the student family on a sampled batch, written out: the engine's inner loop.

The chain is h0 = W_e x, h = B h0, y = act(W_dᵀ h + c). Autograd gives the same numbers (a test compares them); writing
the chain out lets x stay sparse and saves the graph. Axis legend: `r` run, `s` sample, `n` feature, `k` hidden.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.features.batches import SparseBatch
from superdyn.models import fused_chain
from superdyn.models.decoding import Head, decode_gradients, residual_tiles
from superdyn.models.encoding import add_encoding_gradient, encode
from superdyn.models.gradients import Gradients
from superdyn.models.gram import gram_gradients, is_cheaper
from superdyn.models.product import multiply
from superdyn.models.weights import Weights


@torch.no_grad()
def sampled_gradients(weights: Weights, batch: SparseBatch, importance: Float[Tensor, "r n"]) -> Gradients:
    """L = ½ mean_s ‖y_s − A x_s‖² of each member and its gradients."""
    if fused_chain.serves(weights, batch):
        return fused_chain.chain_gradients(weights, batch, importance)
    scale = 1.0 / batch.shape[1]
    encoder, core = weights.encoder, weights.core
    head = _head(weights, importance)
    if encoder is None:
        return _without_embedding(weights, batch, head, scale)
    encoded = encode(batch, encoder)
    hidden = encoded if core is None else multiply(encoded, core.mT)
    last_layer = gram_gradients if is_cheaper(weights, batch.shape) else decode_gradients
    last = last_layer(batch, hidden, head, train_decoder=weights.trains_embedding)
    found = _named(bias=last.bias)
    d_encoded = last.hidden
    if core is not None:
        found["core"] = multiply(last.hidden.mT, encoded)
        if weights.trains_embedding:
            d_encoded = multiply(last.hidden, core)
    if weights.trains_embedding:
        assert last.decoder is not None
        if weights.decoder is None:
            found["encoder"] = last.decoder
        else:
            found |= {"decoder": last.decoder, "encoder": torch.zeros_like(encoder)}
        add_encoding_gradient(batch, d_encoded, found["encoder"])
    return Gradients(last.energy * (0.5 * scale), {name: gradient.mul_(scale) for name, gradient in found.items()})


@torch.no_grad()
def sampled_feature_loss(
    weights: Weights, batch: SparseBatch, importance: Float[Tensor, "r n"], sample_weights: Float[Tensor, "r s"]
) -> Float[Tensor, "r n"]:
    """Σ_s w_s (y_si − A_ii x_si)² of every feature, with w = `sample_weights`."""
    head = _head(weights, importance)
    tiles = residual_tiles(batch, _hidden(weights, batch), head)
    parts = [tile.residual.square_().mul_(sample_weights[:, :, None]).sum(dim=1) for tile in tiles]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _hidden(weights: Weights, batch: SparseBatch) -> Float[Tensor, "r s k"]:
    """B W_e x."""
    encoder, core = weights.encoder, weights.core
    if encoder is None:
        return batch.dense() if core is None else encode(batch, core)
    encoded = encode(batch, encoder)
    return encoded if core is None else multiply(encoded, core.mT)


def _without_embedding(weights: Weights, batch: SparseBatch, head: Head, scale: float) -> Gradients:
    """y = act(B x + c), or act(x + c)."""
    last = decode_gradients(batch, _hidden(weights, batch), head, train_decoder=False)
    found = _named(bias=last.bias)
    if weights.core is not None:
        found["core"] = torch.zeros_like(weights.core)
        add_encoding_gradient(batch, last.hidden, found["core"])
    return Gradients(last.energy * (0.5 * scale), {name: gradient.mul_(scale) for name, gradient in found.items()})


def _head(weights: Weights, importance: Float[Tensor, "r n"]) -> Head:
    return Head(weights.output_embedding, weights.bias, importance, weights.rectified)


def _named(**gradients: Tensor | None) -> dict[str, Tensor]:
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}
