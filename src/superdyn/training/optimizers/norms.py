"""Norms per member and per feature whose bits do not depend on how many members are stacked.

Of shards the squares are summed over the ranks.
Axis legend: `r` run, `p` entries of one member, `n` feature, `k` hidden.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.models.total import member_sum
from superdyn.training.sharding import UNSHARDED, Sharding


def member_norm(x: Float[Tensor, "r p"], sharding: Sharding = UNSHARDED) -> Float[Tensor, "r"]:
    """Euclidean norm ‖x_r‖ of each member's flat row."""
    return sharding.total(member_sum(torch.mul(x, x).contiguous())).sqrt()


def row_norms(
    embedding: Float[Tensor, "r k n"], name: str = "", sharding: Sharding = UNSHARDED
) -> Float[Tensor, "r n"]:
    """Norm ‖W_i‖ of each feature's row of W, which is stored as a column; `name`: of the parameter, if W is a shard."""
    return sharding.total_along(name, 1, torch.sum(embedding * embedding, dim=1)).sqrt()
