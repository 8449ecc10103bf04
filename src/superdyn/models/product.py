"""Stacked matrix products whose bits do not depend on how many members are stacked.

C_r = A_r B_r for every run r of a pack. One batched product serves all members; on the CPU it is used only for
shapes at which the batched kernel treats each member exactly as it would alone, with one thread a member. Threads that
share one product may add up in another order (never in float32 at these shapes, in 1,200 comparisons of 1, 2, 4 and 8
threads), so their number has to be the member's own (`lone_product_threads`).
Axis legend: `r` run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

_SAFE_MULTIPLE = 16
"""On the CPU a batched product gives each member the bits of a lone product when every dimension is a multiple of
this (whole vector registers, rows aligned alike in every member); other shapes are multiplied one by one."""

_ALIGNMENT = 64
"""Bytes at a multiple of which torch allocates on the CPU."""

_rounding: str = "float32"

_lone_threads: int | None = None
"""Threads that share a product of one member; None: all that torch has."""


@contextmanager
def lone_product_threads(number: int) -> Iterator[None]:
    """Have so many threads share every product of one member, however many compute for the pack."""
    global _lone_threads
    before, _lone_threads = _lone_threads, number
    try:
        yield
    finally:
        _lone_threads = before


@contextmanager
def matmul_operands(kind: str) -> Iterator[None]:
    """Round the operands of all products to `kind` (float32, tf32, bf16) first; sums stay in float32.

    A GPU multiplies such operands faster. The CPU rounds and multiplies as usual, so that the effect can be seen there.
    """
    global _rounding
    before, before_torch = _rounding, torch.get_float32_matmul_precision()
    _rounding = kind
    if kind == "tf32":
        torch.set_float32_matmul_precision("high")
    try:
        yield
    finally:
        _rounding = before
        torch.set_float32_matmul_precision(before_torch)


def _rounded_product(a: Tensor, b: Tensor) -> Tensor:
    if a.is_cuda:
        return (
            torch.bmm(a, b) if _rounding == "tf32" else torch.bmm(a.bfloat16(), b.bfloat16(), out_dtype=torch.float32)
        )
    a, b = (_to_tf32(x) if _rounding == "tf32" else x.bfloat16().float() for x in (a, b))
    return _full_product(a, b, None)


def _to_tf32(x: Tensor) -> Tensor:
    """The nearest number with 10 explicit bits of mantissa, ties away from zero."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def rounds(dtype: torch.dtype) -> bool:
    """Whether the operands of this type are rounded now."""
    return _rounding != "float32" and dtype == torch.float32


def multiply(
    a: Float[Tensor, "r i j"], b: Float[Tensor, "r j k"], out: Float[Tensor, "r i k"] | None = None
) -> Float[Tensor, "r i k"]:
    """A_r B_r for every member r, not differentiable, into `out` if given."""
    if rounds(a.dtype):
        rounded = _rounded_product(a, b)
        return rounded if out is None else out.copy_(rounded)
    return _full_product(a, b, out)


def _full_product(a: Tensor, b: Tensor, out: Tensor | None) -> Tensor:
    whole = _whole(a, b)
    if a.device.type != "cpu" or (whole and a.dtype == torch.float32):
        return _batched(a, b, out)
    if torch.compiler.is_compiling():  # whose graph asks for no threads; runs on the CPU are not compiled
        return (_batched if whole else _one_by_one)(a, b, out)
    if not whole or (len(a) > 1 and _lone_threads not in (None, 1)):
        return _in_member_threads(_one_by_one, a, b, out)
    if 1 < len(a) >= torch.get_num_threads():  # a thread for each member; fewer members would be shared out themselves
        return _batched(a, b, out)
    return _in_member_threads(_batched, a, b, out)


def _in_member_threads(compute: Callable[..., Tensor], *operands: Tensor | None) -> Tensor:
    """Compute with the threads of one member's product."""
    before = torch.get_num_threads()
    if _lone_threads in (None, before):
        return compute(*operands)
    torch.set_num_threads(_lone_threads)
    try:
        return compute(*operands)
    finally:
        torch.set_num_threads(before)


def _batched(a: Tensor, b: Tensor, out: Tensor | None) -> Tensor:
    return torch.bmm(a, b) if out is None else torch.bmm(a, b, out=out)


def _one_by_one(a: Tensor, b: Tensor, out: Tensor | None) -> Tensor:
    if len(a) == 1 or _whole(a, b):  # each result lies as that of a lone product would
        out = a.new_empty(len(a), a.shape[1], b.shape[2]) if out is None else out
        for x, y, result in zip(a, b, out, strict=True):
            torch.mm(_aligned(x), _aligned(y), out=result)
        return out
    members = [torch.mm(_aligned(x), _aligned(y)) for x, y in zip(a, b, strict=True)]
    return torch.stack(members) if out is None else torch.stack(members, out=out)


def _whole(a: Tensor, b: Tensor) -> bool:
    return not (a.shape[1] | a.shape[2] | b.shape[2]) % _SAFE_MULTIPLE


def _aligned(x: Tensor) -> Tensor:
    """The matrix at an aligned address, as the operand of a pack of one may be; a copy only if it is not at one."""
    dense = x.is_contiguous() or x.mT.is_contiguous()
    if dense and x.data_ptr() % _ALIGNMENT == 0:
        return x
    return x.clone(memory_format=torch.preserve_format)


def dense_members(x: Float[Tensor, "r ..."]) -> Float[Tensor, "r ..."]:
    """With one member's entries side by side, as a kernel counts them; a copy only if they are not."""
    return x if x[0].is_contiguous() else x.contiguous()


def autocast_operands(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both in autocast's precision where it is on, so that the backward products, outside of it, find one type."""
    device = a.device.type
    if not torch.is_autocast_enabled(device):
        return a, b
    dtype = torch.get_autocast_dtype(device)
    return a.to(dtype), b.to(dtype)


class _Product(torch.autograd.Function):
    """Keeps the backward products on the same rule as the forward one."""

    @staticmethod
    def forward(ctx, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return multiply(a, b)

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        (gradient,) = gradients
        a, b = ctx.saved_tensors
        needs_a, needs_b = ctx.needs_input_grad
        return (
            multiply(gradient, b.mT) if needs_a else None,
            multiply(a.mT, gradient) if needs_b else None,
        )


def product(a: Float[Tensor, "r i j"], b: Float[Tensor, "r j k"]) -> Float[Tensor, "r i k"]:
    """A_r B_r for every member r, differentiable; each member's bits are those of a pack of one on the CPU."""
    a, b = autocast_operands(a, b)
    if not torch.is_grad_enabled():
        return multiply(a, b)
    return _Product.apply(a, b)  # pyright: ignore[reportReturnType]


def matvec(matrix: Float[Tensor, "r i j"], vector: Float[Tensor, "r j"]) -> Float[Tensor, "r i"]:
    """A_r v_r for every member r, not differentiable, with the bits of a pack of one on the CPU."""
    if matrix.device.type != "cpu":
        return torch.bmm(matrix, vector.unsqueeze(2)).squeeze(2)
    if torch.compiler.is_compiling():
        return _matvecs(matrix, vector)
    return _in_member_threads(_matvecs, matrix, vector)


def _matvecs(matrix: Tensor, vector: Tensor) -> Tensor:
    safe = not (matrix.shape[1] | matrix.shape[2]) % _SAFE_MULTIPLE
    pairs = zip(matrix, vector, strict=True)
    return torch.stack([torch.mv(a if safe else _aligned(a), _aligned(v)) for a, v in pairs])
