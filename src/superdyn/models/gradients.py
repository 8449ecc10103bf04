"""What every way to the gradients of a pack gives. Axis legend: `r` run."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor


class Gradients(NamedTuple):
    """Of the mean loss of a batch, or of the population risk.

    Attributes:
        loss: L of each member; exact enough to tell whether it is finite, see `gram.py`.
        by_name: gradient of each trained parameter; may lie in memory that is written over at the next batch.
    """

    loss: Float[Tensor, "r"]
    by_name: dict[str, Float[Tensor, "r ..."]]
