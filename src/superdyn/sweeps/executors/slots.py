"""Where on this machine a worker process may run: `launcher.slots` places on each of `launcher.devices` devices.

A slot is a few environment variables: which GPUs the worker sees and how many CPU threads it uses, so that workers
share the machine without knowing of each other. A run over several devices takes a slot as wide as it needs.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from superdyn.config import ConfigError, RunConfig

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Slot:
    """A place for one worker.

    Attributes:
        name: shown to the user.
        environment: what the worker finds set.
    """

    name: str
    on_gpu: bool
    environment: Mapping[str, str] = field(compare=False)


def slots_of(config: RunConfig) -> list[Slot]:
    """All slots, device by device within each round, so that the first workers spread over the devices.

    Raises:
        ConfigError: there are fewer devices than asked for.
    """
    launcher, width = config.launcher, int(config.trainer.devices)
    visible = _visible_gpus() if config.trainer.accelerator != "cpu" else []
    groups = _groups(visible, launcher.devices, width)
    total = len(groups) * launcher.slots
    threads = {name: str(max(1, usable_cores() // (total * (1 if visible else width)))) for name in THREAD_VARIABLES}
    slots = []
    for k in range(launcher.slots):
        for i, gpus in enumerate(groups):
            device = f"cuda:{','.join(gpus)}" if gpus else f"cpu:{i}"
            name = device if launcher.slots == 1 else f"{device}/{k}"
            seen = {"CUDA_VISIBLE_DEVICES": ",".join(gpus)} if gpus else {}
            slots.append(Slot(name, bool(gpus), threads | seen))
    return slots


def _groups(visible: list[str], devices: int | None, width: int) -> list[list[str]]:
    """The GPUs of each device group; empty lists stand for shares of the CPU."""
    if not visible:
        return [[] for _ in range(max(1, (devices or width) // width))]
    wanted = devices or len(visible)
    if wanted > len(visible) or width > wanted:
        raise ConfigError(
            f"launcher.devices={devices}, trainer.devices={width}: {len(visible)} GPUs are visible here; at most that "
            f"many are allowed, and a run needs trainer.devices of them."
        )
    return [visible[start : start + width] for start in range(0, wanted - width + 1, width)]


def _visible_gpus() -> list[str]:
    """Names of the GPUs that a worker may be given: those of CUDA_VISIBLE_DEVICES, else all by number."""
    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return named.split(",")[:count] if named else [str(i) for i in range(count)]


def usable_cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
