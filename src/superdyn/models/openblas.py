"""The OpenBLAS that NumPy multiplies by: every member of a stacked product by itself, within one call.

torch multiplies by MKL, which keeps its AVX-512 kernels for Intel's processors; on others OpenBLAS takes less than half
the time where it has such kernels, and a little less where not. With one thread its bits depend on the shapes and the
order of the axes of one member's product only: neither on the pack nor on where a member lies in memory.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import numpy as np
import torch
from threadpoolctl import ThreadpoolController
from torch import Tensor

_SMALL_PRODUCT = 2**21
"""Multiply-adds up to which one thread of OpenBLAS is faster than all of MKL's, whatever its kernels."""


@cache
def _openblas() -> ThreadpoolController | None:
    """None where NumPy multiplies by something else, or torch does so as fast: other processors than AMD's."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]  # pyright: ignore[reportOptionalSubscript, reportCallIssue]
    if "openblas" not in blas["name"] or not torch.backends.mkl.is_available() or "AMD" not in _processor():
        return None
    found = ThreadpoolController().select(internal_api="openblas")
    return found if len(found) else None


def _processor() -> str:
    describe = getattr(torch.cpu, "get_capabilities", dict)  # since torch 2.12
    return str(describe().get("cpu_name", ""))


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Have OpenBLAS multiply with one thread; its number of threads is put back afterwards."""
    openblas = _openblas()
    if openblas is None:
        yield
        return
    with openblas.limit(limits=1):
        yield


def is_faster(multiply_adds: int, like: Tensor) -> bool:
    """Whether NumPy multiplies faster than torch where a member takes so many; the same for it alone and in a pack."""
    ours = like.is_cpu and like.dtype in (torch.float32, torch.float64)
    return ours and multiply_adds <= _SMALL_PRODUCT and _openblas() is not None
