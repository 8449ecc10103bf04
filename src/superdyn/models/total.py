"""Sum of all entries of each member, with bits that do not depend on how many members are stacked.

On the CPU torch may split one long row between threads but gives many rows a thread each, which changes the
order of additions. Long rows are therefore first folded in half by elementwise additions, whose result no
division of labour can change. Axis legend: `r` run, `p` entries of one member.
"""

from jaxtyping import Float
from torch import Tensor

_UNSPLIT = 4096
"""Rows up to this length are summed by one thread, alone or in a pack (torch splits from 32,768 on)."""


def member_sum(x: Float[Tensor, "r p"]) -> Float[Tensor, "r"]:
    """Σ_p x_rp of each member; overwrites `x`, which must be contiguous."""
    length = x.shape[1]
    while length > _UNSPLIT and not x.is_cuda:
        kept = (length + 1) // 2
        x[:, : length - kept].add_(x[:, kept:length])
        length = kept
    return x[:, :length].sum(dim=1)
