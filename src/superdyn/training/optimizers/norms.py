"""Sums of squares per member whose bits do not depend on how many members are stacked.

On the CPU torch may split one long row between threads but gives many rows a thread each, which changes the
order of additions. Long rows are therefore first folded in half by elementwise additions, whose result no
schedule can change.
Axis legend: `r` run, `p` entries of one member, `n` feature, `k` hidden.
"""

import torch
from jaxtyping import Float
from torch import Tensor

_UNSPLIT = 4096
"""Rows up to this length are summed by one thread, alone or in a pack (torch splits from 32,768 on)."""


def member_norm(x: Float[Tensor, "r p"]) -> Float[Tensor, "r"]:
    """Euclidean norm ‖x_r‖ of each member's flat row."""
    squares = x * x
    length = squares.shape[1]
    while length > _UNSPLIT and not x.is_cuda:
        kept = (length + 1) // 2
        squares[:, : length - kept].add_(squares[:, kept:length])
        length = kept
    return squares[:, :length].sum(dim=1).sqrt()


def row_norms(embedding: Float[Tensor, "r k n"]) -> Float[Tensor, "r n"]:
    """Norm ‖W_i‖ of each feature's row of W, which is stored as a column."""
    return torch.sum(embedding * embedding, dim=1).sqrt()
