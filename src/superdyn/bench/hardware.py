"""What a record was measured on: the machine, the versions of the libraries that compete, the speed of one product."""

import os
import platform
import time

import torch

from superdyn.installed import installed_version, named_version
from superdyn.runs.drift import running_code


def product_flops(device: str) -> float:
    """Operations per second that the device reaches in one large float32 product."""
    size = 8192 if device == "cuda" else 2048
    a = torch.randn(size, size, device=device)
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(a, a)
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * float(size) ** 3 / (time.perf_counter() - start))
    return best


def versions() -> str:
    """This code, Python and the libraries that compete."""
    parts = [f"superdyn {running_code('superdyn')}", f"Python {platform.python_version()}"]
    parts += [f"CUDA {torch.version.cuda}"] if torch.version.cuda else []
    rivals = ("torch", "pytorch-lightning", "jax", "numpy", "wandb")
    return ", ".join([*parts, *(named_version(name, installed_version(name)) for name in rivals)])


def hardware(device: str) -> str:
    """The GPU and the CPU."""
    cpu = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    return f"{torch.cuda.get_device_name()}, {cpu}" if device == "cuda" else cpu
