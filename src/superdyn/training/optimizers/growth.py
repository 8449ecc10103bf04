"""Negative weight decay: the rows of the embedding grow towards unit norm instead of shrinking.

W_i += η|w|(1/‖W_i‖ − 1) W_i for every feature row i, for weight decay w < 0 (Liu, Liu, Gore 2025); it pushes
a model into superposition as positive decay pushes it out. Axis legend: `r` run, `n` feature, `k` hidden.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.training.optimizers.norms import row_norms
from superdyn.training.sharding import UNSHARDED, Sharding


def grow_rows(
    embedding: Float[Tensor, "r k n"], rate: Float[Tensor, "r"], name: str = "", sharding: Sharding = UNSHARDED
) -> None:
    """Move each feature's row (column [:, :, i]) a fraction `rate` of the way to unit norm, in place.

    A zero row has no direction and stays zero. A member of rate 0 keeps every bit, whatever its entries. `name`
    is the parameter's, if this is a shard.
    """
    norms = row_norms(embedding, name, sharding)
    rates = rate.to(embedding.dtype).unsqueeze(1)
    grows = (rates > 0) & (norms > 0)
    embedding.mul_(torch.where(grows, 1 + rates * (1 / norms - 1), 1.0).unsqueeze(1))
