"""Rotary positions: pairs of dimensions of a query or key turn by an angle that grows with the position.

Dimensions (i, i + d/2) at position t turn by t·base^(−2i/d) (Su et al. 2021, with the halves paired as in GPT-NeoX and
Llama), so that a product of query and key depends on the difference of their positions only.
Axis legend: `t` position, `d` dimension of a head, `c` half of them.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def rotary_tables(
    context: int, head_width: int, base: float, dtype: torch.dtype
) -> tuple[Float[Tensor, "t c"], Float[Tensor, "t c"]]:
    """cos and sin of every angle, computed in float64."""
    frequencies = base ** (-torch.arange(0, head_width, 2, dtype=torch.float64) / head_width)
    angles = torch.arange(context, dtype=torch.float64)[:, None] * frequencies
    return angles.cos().to(dtype), angles.sin().to(dtype)


def rotated(
    x: Float[Tensor, "*batch t d"], cos: Float[Tensor, "t c"], sin: Float[Tensor, "t c"]
) -> Float[Tensor, "*batch t d"]:
    """Every vector turned by the angles of its position."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
