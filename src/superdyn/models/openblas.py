"""The OpenBLAS that NumPy multiplies by: every member of a stacked product by itself, within one call.

torch multiplies by MKL, which keeps its AVX-512 kernels for Intel's processors; on others OpenBLAS takes less than half
the time where it has such kernels, and a little less where not. With one thread its bits depend on the shapes and the
order of the axes of one member's product only: neither on the pack nor on where a member lies in memory.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from torch import Tensor

_SMALL_PRODUCT = 2**21
"""Multiply-adds up to which one thread of OpenBLAS is faster than all of MKL's, whatever its kernels."""

_NAMES = ("scipy_openblas_{}64_", "openblas_{}64_", "scipy_openblas_{}", "openblas_{}")
"""What builds of OpenBLAS call their functions."""


class _OpenBLAS:
    """The library that NumPy multiplies by, found through NumPy's own extension module."""

    def __init__(self, library: ctypes.CDLL, name: str):
        self.threads = getattr(library, name.format("get_num_threads"))
        self.set_threads = getattr(library, name.format("set_num_threads"))


@cache
def _openblas() -> _OpenBLAS | None:
    """None where NumPy multiplies by something else, or torch does so as fast: other processors than AMD's."""
    if not torch.backends.mkl.is_available() or "AMD" not in _processor():
        return None
    library = ctypes.CDLL(np._core._multiarray_umath.__file__)  # pyright: ignore[reportAttributeAccessIssue]
    name = next((name for name in _NAMES if hasattr(library, name.format("set_num_threads"))), None)
    return None if name is None else _OpenBLAS(library, name)


def _processor() -> str:
    describe = getattr(torch.cpu, "get_capabilities", dict)  # since torch 2.12
    return str(describe().get("cpu_name", ""))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Have OpenBLAS multiply with one thread; its number of threads is put back afterwards."""
    openblas = _openblas()
    before = openblas.threads() if openblas is not None else 1
    if openblas is not None:
        openblas.set_threads(1)
    try:
        yield
    finally:
        if openblas is not None:
            openblas.set_threads(before)


def is_faster(multiply_adds: int, like: Tensor) -> bool:
    """Whether NumPy multiplies faster than torch where a member takes so many; the same for it alone and in a pack."""
    ours = like.is_cpu and like.dtype in (torch.float32, torch.float64)
    return ours and multiply_adds <= _SMALL_PRODUCT and _openblas() is not None
