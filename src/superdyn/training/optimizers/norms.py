"""Norms per member and per feature whose bits do not depend on how many members are stacked.

Axis legend: `r` run, `p` entries of one member, `n` feature, `k` hidden.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.models.total import member_sum


def member_norm(x: Float[Tensor, "r p"]) -> Float[Tensor, "r"]:
    """Euclidean norm ‖x_r‖ of each member's flat row."""
    return member_sum(torch.mul(x, x).contiguous()).sqrt()


def row_norms(embedding: Float[Tensor, "r k n"]) -> Float[Tensor, "r n"]:
    """Norm ‖W_i‖ of each feature's row of W, which is stored as a column."""
    return torch.sum(embedding * embedding, dim=1).sqrt()
