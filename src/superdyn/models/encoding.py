"""x ↦ W x for sparse x, and the gradient of W, by gathering the columns of W that are active.

The cost follows the active features, not N; a dense head is multiplied. Sums run over the cells of one sample (or of
one feature) in a fixed order, so a member's bits are those of a pack of one.
Axis legend: `r` run, `s` sample, `n` feature, `k` hidden.
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from superdyn.features.batches import SparseBatch
from superdyn.models import point_products
from superdyn.models.product import multiply, product


def encode(batch: SparseBatch, weight: Float[Tensor, "r k n"]) -> Float[Tensor, "r s k"]:
    """W x of every sample, differentiable."""
    if batch.points is not None and point_products.serves(batch, weight):
        return point_products.encode_points(*batch.points.of_step(), weight, batch.shape[1])
    hidden, cells = None, batch.cells
    if batch.head is not None:
        hidden = product(batch.head, (weight if cells is None else weight[:, :, : batch.head.shape[2]]).mT)
    if cells is not None:
        picked = weight.mT[cells.members, cells.features]
        gathered = F.embedding_bag(cells.picks, picked, cells.row_starts, mode="sum", per_sample_weights=cells.values)
        gathered = gathered.view(*batch.shape[:2], -1)
        hidden = gathered if hidden is None else gathered + hidden
    assert hidden is not None
    return hidden


def add_encoding_gradient(batch: SparseBatch, hidden: Float[Tensor, "r s k"], out: Float[Tensor, "r k n"]) -> None:
    """out += Σ_s hidden_s x_sᵀ, the gradient of W."""
    cells = batch.cells
    if batch.points is not None and point_products.serves(batch, out):
        point_products.add_points_gradient(*batch.points.of_step(), hidden, out)
        return
    if cells is not None:
        flat, values = hidden.reshape(-1, hidden.shape[2]), cells.feature_values
        gradient = F.embedding_bag(
            cells.feature_rows, flat, cells.feature_starts, mode="sum", per_sample_weights=values
        )
        columns = out.mT
        columns[cells.members, cells.features] = columns[cells.members, cells.features] + gradient
    if batch.head is not None:
        (out if cells is None else out[:, :, : batch.head.shape[2]]).add_(multiply(hidden.mT, batch.head))
