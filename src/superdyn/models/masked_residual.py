"""From the output before its activation to everything the backward pass starts from, in one pass on a GPU.

z = W_dᵀ h + c is read once and x at most once, and δ = (act(z) − A x) · act′ is written once; the sums over samples
of δ and of the squared residual are taken on the way. Written with torch's operations this takes three times the
memory traffic, which is what a large pack of small models spends its time on. Every sum has one order, so bits do not
vary.
Axis legend: `r` run, `s` sample, `n` feature, `p` part of the samples, `c` tile of features.
"""

from typing import Any

import torch
from torch import Tensor

from superdyn.kernels import AVAILABLE
from superdyn.models.product import dense_members

_LONGEST, _ENTRIES, _WARPS = 1024, 4096, 8
"""Most features, and entries, that a program holds at a time, and how many warps share them (the fastest of eleven at
R = 90, S = 2,048, N = 1,000)."""

_PROGRAMS = 2048
"""As many as keep a GPU of some hundred multiprocessors busy; fewer where the batch is small."""


def serves(output: Tensor) -> bool:
    """Whether there is such a kernel for this output."""
    return AVAILABLE and output.is_cuda and output.dtype in (torch.float32, torch.float64)


@torch.library.custom_op("superdyn::masked_residual", mutates_args=())
def masked_residual(
    output: torch.Tensor, bias: torch.Tensor | None, importance: torch.Tensor, x: torch.Tensor | None, rectified: bool
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """From W_dᵀ h (r s n): δ (r s n), parts of its sum over samples (p r n), of Σ_s ‖y − A x‖² (p r c).

    Without x they are those for x = 0.
    """
    from superdyn.kernels.residual import residual_tile

    output, importance = output.contiguous(), importance.contiguous()
    x = None if x is None else x.contiguous()
    bias = None if bias is None else dense_members(bias)
    delta, bias_parts, energy_parts = outputs = _outputs(output)
    runs, samples, n = output.shape
    parts, (rows, tile) = len(bias_parts), _block(n)
    residual_tile[(energy_parts.shape[2], parts, runs)](  # pyright: ignore[reportIndexIssue]
        output, bias, importance, x, delta, bias_parts, energy_parts, 0 if bias is None else bias.stride(0), samples, n,
        PART_SAMPLES=-(-samples // parts), HAS_BIAS=bias is not None, HAS_X=x is not None, RECTIFIED=rectified,
        ROWS=rows, TILE=tile, num_warps=_WARPS,
    )  # fmt: skip
    return outputs


@masked_residual.register_fake
def _(output: Any, bias: Any, importance: Any, x: Any, rectified: Any) -> Any:
    return _outputs(output)


def _block(n_features: int) -> tuple[int, int]:
    """Samples and features that a program holds at a time: powers of two."""
    tile = min(_LONGEST, 1 << (n_features - 1).bit_length())
    return max(1, min(32, _ENTRIES // tile)), tile


def _outputs(output: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    runs, samples, n = output.shape
    rows, tile = _block(n)
    tiles = -(-n // tile)
    parts = max(1, min(-(-samples // rows), _PROGRAMS // (runs * tiles)))
    delta = torch.empty_like(output, memory_format=torch.contiguous_format)
    return delta, output.new_empty(parts, runs, n), output.new_empty(parts, runs, tiles)
