"""What a record was measured on: the machine, the versions of the libraries that compete, the speed of one product."""

import os
import platform
import time
from importlib.metadata import PackageNotFoundError, version

import torch


def product_flops(device: str) -> float:
    """Operations per second that the device reaches in one large float32 product."""
    a = torch.randn(2048, 2048, device=device)
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(a, a)
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * 2048.0**3 / (time.perf_counter() - start))
    return best


def versions() -> str:
    """Python and the libraries that compete."""
    parts = [f"Python {platform.python_version()}"]
    for name in ("torch", "pytorch-lightning", "jax", "numpy", "wandb"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} not installed")
    return ", ".join(parts)


def hardware(device: str) -> str:
    """The GPU and the CPU."""
    cpu = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    return f"{torch.cuda.get_device_name()}, {cpu}" if device == "cuda" else cpu
