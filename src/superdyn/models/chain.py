"""Gradients of the student family on a sampled batch, written out: the engine's inner loop.

The chain is h0 = W_e x, h = B h0, y = act(W_dᵀ h + c). Autograd gives the same numbers (a test compares them); writing
the chain out lets x stay sparse and saves the graph. Axis legend: `r` run, `s` sample, `n` feature, `k` hidden.
"""

from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.features.batches import SparseBatch
from superdyn.models.decoding import DecoderGradients, Head, decode_gradients, residual_tiles
from superdyn.models.dense_chain import DenseChain
from superdyn.models.encoding import add_encoding_gradient, encode
from superdyn.models.gram import gram_gradients, is_cheaper
from superdyn.models.product import multiply

if TYPE_CHECKING:
    from superdyn.models.student import Student


class Gradients(NamedTuple):
    """Of the mean loss of a batch, or of the population risk.

    Attributes:
        loss: L of each member; exact enough to tell whether it is finite, see `gram.py`.
        by_name: gradient of each trained parameter; may lie in memory that is written over at the next batch.
    """

    loss: Float[Tensor, "r"]
    by_name: dict[str, Float[Tensor, "r ..."]]


@torch.no_grad()
def sampled_gradients(student: "Student", batch: SparseBatch, importance: Float[Tensor, "r n"]) -> Gradients:
    """L = ½ mean_s ‖y_s − A x_s‖² of each member and its gradients."""
    scale = 1.0 / batch.shape[1]
    encoder, core = student.encoder, student.core
    head = Head(student.output_embedding(), student.bias, importance, student.rectified)
    if DenseChain.serves(student, batch) and not is_cheaper(batch, head):
        chain = student.dense_chain(batch.shape)
        return Gradients(chain.loss(batch, importance), chain.gradients)
    if encoder is None:
        return _without_embedding(student, batch, head, scale)
    encoded = encode(batch, encoder)
    hidden = encoded if core is None else multiply(encoded, core.mT)
    last = _last_layer(batch, hidden, head, train_decoder=student.trains("encoder"))
    found = _named(bias=last.bias)
    d_encoded = last.hidden
    if core is not None:
        found["core"] = multiply(last.hidden.mT, encoded)
        if student.trains("encoder"):
            d_encoded = multiply(last.hidden, core)
    if student.trains("encoder"):
        assert last.decoder is not None
        if student.decoder is None:
            found["encoder"] = last.decoder
        else:
            found |= {"decoder": last.decoder, "encoder": torch.zeros_like(encoder)}
        add_encoding_gradient(batch, d_encoded, found["encoder"])
    return Gradients(last.energy * (0.5 * scale), {name: gradient.mul_(scale) for name, gradient in found.items()})


@torch.no_grad()
def sampled_feature_loss(
    student: "Student", batch: SparseBatch, importance: Float[Tensor, "r n"], weights: Float[Tensor, "r s"]
) -> Float[Tensor, "r n"]:
    """Σ_s w_s (y_si − A_ii x_si)² of every feature."""
    head = Head(student.output_embedding(), student.bias, importance, student.rectified)
    tiles = residual_tiles(batch, _hidden(student, batch), head)
    parts = [tile.residual.square_().mul_(weights[:, :, None]).sum(dim=1) for tile in tiles]
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def _hidden(student: "Student", batch: SparseBatch) -> Float[Tensor, "r s k"]:
    """B W_e x."""
    encoder, core = student.encoder, student.core
    if encoder is None:
        return batch.dense() if core is None else encode(batch, core)
    encoded = encode(batch, encoder)
    return encoded if core is None else multiply(encoded, core.mT)


def _without_embedding(student: "Student", batch: SparseBatch, head: Head, scale: float) -> Gradients:
    """y = act(B x + c), or act(x + c)."""
    last = decode_gradients(batch, _hidden(student, batch), head, train_decoder=False)
    found = _named(bias=last.bias)
    if student.core is not None:
        found["core"] = torch.zeros_like(student.core)
        add_encoding_gradient(batch, last.hidden, found["core"])
    return Gradients(last.energy * (0.5 * scale), {name: gradient.mul_(scale) for name, gradient in found.items()})


def _last_layer(batch: SparseBatch, hidden: Tensor, head: Head, *, train_decoder: bool) -> DecoderGradients:
    if is_cheaper(batch, head):
        return gram_gradients(batch, hidden, head, train_decoder=train_decoder)
    return decode_gradients(batch, hidden, head, train_decoder=train_decoder)


def _named(**gradients: Tensor | None) -> dict[str, Tensor]:
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}
