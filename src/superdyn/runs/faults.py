"""What an error says about: the run itself, or the memory, the device or the disk that it happened to be on.

Only the first is the run's own failure. After the others the run is as good as before: it can go on in a smaller pack,
on another device, or when there is room again.
"""

import errno
from typing import Literal

from superdyn.config.validation import causes

Fault = Literal["run", "memory", "device", "storage"]

_STORAGE = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE, errno.ENODEV,
)  # fmt: skip
"""Numbers of the system errors that speak of the disk and not of what is written to it."""

_ALLOCATION_TEXTS = (
    "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED", "CUDA error: out of memory",
    "CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate",
)  # fmt: skip
"""The last two are what libraries that allocate beside torch say of a full GPU."""

_DEVICE_TEXTS = ("CUDA error", "cuBLAS error", "NCCL error", "no CUDA GPUs are available")


class SweepStoppedError(RuntimeError):
    """Nothing more can be trained here for now; the message is one sentence for the user."""


class HandedOver(Exception):
    """A cluster trains on without this process; the message tells the user how to follow and how to cancel."""


def fault_of(error: BaseException) -> Fault:
    """Where the error, or one that caused it, comes from."""
    kinds = {_kind(cause) for cause in causes(error)}
    order: tuple[Fault, ...] = ("storage", "memory", "device", "run")
    return next(kind for kind in order if kind in kinds)


def _kind(error: BaseException) -> Fault:
    if isinstance(error, OSError):
        return "storage" if error.errno in _STORAGE else "run"
    import torch  # here, because whoever only looks at a sweep need not wait for it

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return "memory"
    if isinstance(error, RuntimeError):
        text = str(error)
        if any(part in text for part in _ALLOCATION_TEXTS):
            return "memory"
        if isinstance(error, torch.AcceleratorError) or any(part in text for part in _DEVICE_TEXTS):
            return "device"
    return "run"
