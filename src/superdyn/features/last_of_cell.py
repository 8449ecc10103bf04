"""Which of the points that were drawn in turn are the last of their cell: of a cell that occurs twice the last counts.

On a GPU every point is compared with all later ones, where there are few; else the points are sorted by cell.
Axis legend: `r` run, `g` group of 64 samples, `m` point.
"""

from typing import Any

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from superdyn.kernels import AVAILABLE

_FEW = 512
"""Up to so many points torch would compile a sort of its own, for a quarter of a minute; up to 256 comparing was
measured to be faster."""


def last_of_cell(cells: Int64[Tensor, "r g m"], counts: Int64[Tensor, "r g"], beyond: int) -> Bool[Tensor, "r g m"]:
    """Whether a point is one of the first `count` of its group and none of these that come later has its cell.

    Args:
        beyond: greater than every cell.
    """
    if AVAILABLE and cells.is_cuda and cells.shape[2] <= _FEW and beyond < 2**31:
        return last_by_comparing(cells.to(torch.int32), counts)
    rank = torch.arange(cells.shape[2], device=cells.device)
    present = rank < counts[:, :, None]
    ordered, order = torch.sort(torch.where(present, cells, beyond) * cells.shape[2] + rank)
    ordered = ordered // cells.shape[2]
    last = ordered < beyond
    last[..., :-1] &= ordered[..., 1:] != ordered[..., :-1]
    return torch.empty_like(last).scatter_(2, order, last)


@torch.library.custom_op("superdyn::last_by_comparing", mutates_args=())
def last_by_comparing(cells: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """`last_of_cell` of cells (r g m) and counts (r g) by Triton's kernel."""
    from superdyn.kernels.draws import last_of_cell_in_row

    cells, counts = cells.contiguous(), counts.contiguous()
    kept = torch.empty_like(cells, dtype=torch.bool)
    points = cells.shape[2]
    block = max(32, 1 << (points - 1).bit_length())
    last_of_cell_in_row[(counts.numel(),)](  # pyright: ignore[reportIndexIssue]
        cells, counts, kept, POINTS=points, BLOCK=block, num_warps=max(1, block // 256)
    )
    return kept


@last_by_comparing.register_fake
def _(cells: Any, counts: Any) -> Any:
    return torch.empty_like(cells, dtype=torch.bool, memory_format=torch.contiguous_format)
