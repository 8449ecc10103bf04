"""A_r B_r of many small matrices in float32 on a GPU's tensor cores.

Each operand is split into two numbers of TF32, which together hold its bits, and three products of them are added up in
float32: the error is that of float32's own rounding, at several times the speed that batches of small matrices reach
without tensor cores. Axis legend: `r` run.
"""

import torch
from torch import Tensor

from superdyn.models.kernels import AVAILABLE

_TILE = (64, 64, 32)
"""Rows, columns and inner entries that a program multiplies at a time."""

_FEWEST_TILES = 128
"""Below which most of a GPU would be idle."""


def serves(a: Tensor, b: Tensor) -> bool:
    """Whether there is a kernel for these operands."""
    if not AVAILABLE or not a.is_cuda or a.dtype != torch.float32 or b.dtype != torch.float32:
        return False
    rows, columns, _ = _TILE
    return len(a) * -(-a.shape[1] // rows) * -(-b.shape[2] // columns) >= _FEWEST_TILES


@torch.library.custom_op("superdyn::float32_product", mutates_args=("out",))
def float32_product(a: torch.Tensor, b: torch.Tensor, out: torch.Tensor) -> None:
    """out (r i k) = a (r i j) b (r j k)."""
    from superdyn.models.kernels.product import product_tile

    a, b = _with_a_dense_axis(a), _with_a_dense_axis(b)
    assert out.stride(2) == 1
    (rows, columns, inner), (runs, m, n) = _TILE, out.shape
    product_tile[(-(-m // rows) * -(-n // columns), runs)](  # pyright: ignore[reportIndexIssue]
        a, b, out, m, n, *a.stride(), *b.stride(), *out.stride()[:2],
        LENGTH=a.shape[2], ROWS=rows, COLUMNS=columns, INNER=inner, num_warps=4, num_stages=3,
    )  # fmt: skip


def _with_a_dense_axis(x: Tensor) -> Tensor:
    return x if 1 in x.stride()[1:] else x.contiguous()


@float32_product.register_fake
def _(a: Tensor, b: Tensor, out: Tensor) -> None:
    return None
