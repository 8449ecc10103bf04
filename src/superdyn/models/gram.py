"""Gradients of the squared error of a linear student without its N-wide output: ½ Σ_s ‖W_dᵀ h_s + c − A x_s‖².

With H = Σ h hᵀ, G = W_d W_dᵀ and t = A x (sparse):  ∂W_d = H W_d + h̄ cᵀ − Σ h tᵀ,  ∂h = G h + W_d (c − t),
∂c = W_dᵀ h̄ + S c − t̄, h̄ = Σ h. Their rounding error is that of the parameters themselves; the loss, a small difference
of large terms, is not: it is good to ε L(0) only, enough to see that it is finite, and never recorded.
Axis legend: `r` run, `s` sample, `n` feature, `k` hidden.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.features.batches import SparseBatch
from superdyn.models.decoding import DecoderGradients, Head
from superdyn.models.encoding import add_encoding_gradient, encode
from superdyn.models.product import matvec, multiply
from superdyn.models.weights import Weights


def is_cheaper(weights: Weights, shape: tuple[int, int, int]) -> bool:
    """Whether, of batches of this shape, 2 K² (N + S) multiply-adds are fewer than the 3 S K N of the residual."""
    decoder = weights.output_embedding
    if weights.rectified or decoder is None:
        return False
    (_, size, n_features), width = shape, decoder.shape[1]
    return 2 * width * (n_features + size) < 3 * size * n_features


def gram_gradients(
    batch: SparseBatch, hidden: Float[Tensor, "r s k"], head: Head, *, train_decoder: bool
) -> DecoderGradients:
    """As `decode_gradients`, for a linear student with an embedding."""
    decoder = head.decoder
    assert decoder is not None
    target = _target(batch, head.importance)
    drive = encode(target, decoder)
    d_hidden = multiply(hidden, multiply(decoder, decoder.mT)) - drive
    energy = (hidden * (d_hidden - drive)).sum(dim=(1, 2)) + _energy(target)
    d_decoder = None
    if train_decoder:
        d_decoder = multiply(multiply(hidden.mT, hidden), decoder)
        add_encoding_gradient(target, -hidden, d_decoder)
    if head.bias is None:
        return DecoderGradients(energy, d_hidden, d_decoder, None)
    total, wanted, shift = hidden.sum(dim=1), _sums(target), matvec(decoder, head.bias)
    d_bias = matvec(decoder.mT, total) + batch.shape[1] * head.bias - wanted
    energy = energy + (total * shift).sum(dim=1) + (head.bias * (d_bias - wanted)).sum(dim=1)
    if d_decoder is not None:
        d_decoder += total[:, :, None] * head.bias[:, None, :]
    return DecoderGradients(energy, d_hidden + shift[:, None, :], d_decoder, d_bias)


def _target(batch: SparseBatch, importance: Float[Tensor, "r n"]) -> SparseBatch:
    """A x, as sparse as x."""
    head, cells = batch.head, batch.cells
    if head is not None:
        head = head * importance[:, None, : head.shape[2]]
    if cells is not None:
        scale = importance[cells.members, cells.features]
        values, ordered = scale[cells.picks] * cells.values, scale[cells.feature_picks] * cells.feature_values
        cells = replace(cells, values=values, feature_values=ordered)
    return SparseBatch(batch.shape, head, cells)


def _energy(x: SparseBatch) -> Float[Tensor, "r"]:
    """Σ_s ‖x_s‖²."""
    parts = []
    if x.head is not None:
        parts.append(x.head.square().sum(dim=(1, 2)))
    if x.cells is not None:
        member = x.cells.members[x.cells.picks]
        parts.append(x.cells.values.new_zeros(x.shape[0]).index_add_(0, member, x.cells.values.square()))
    return torch.stack(parts).sum(dim=0)


def _sums(x: SparseBatch) -> Float[Tensor, "r n"]:
    """Σ_s x_s."""
    runs, _, n = x.shape
    if x.cells is None:
        assert x.head is not None
        return x.head.sum(dim=1)
    place = (x.cells.members * n + x.cells.features)[x.cells.feature_picks]
    sums = x.cells.values.new_zeros(runs * n).index_add_(0, place, x.cells.feature_values).view(runs, n)
    if x.head is not None:
        sums[:, : x.head.shape[2]] += x.head.sum(dim=1)
    return sums
