"""What a task asks a cluster for: CPU cores, GPUs and memory, as much as its runs use."""

from collections.abc import Mapping
from dataclasses import dataclass

from superdyn.config import RunConfig
from superdyn.sweeps.executors.slots import THREAD_VARIABLES


@dataclass(frozen=True)
class Reservation:
    """Of one task, on each of its nodes; `memory_gib` None leaves it to the cluster."""

    nodes: int
    cpus: int
    gpus: int
    memory_gib: float | None
    environment: Mapping[str, str]
    """Threads for each process of the task."""


def reservation_of(config: RunConfig) -> Reservation:
    """`launcher.cpus` for each of `trainer.devices`, which are GPUs if the run asks for GPUs."""
    launcher, devices = config.launcher, int(config.trainer.devices)
    gpus = max(launcher.gpus, devices if config.trainer.accelerator == "gpu" else 0)
    threads = {name: str(launcher.cpus) for name in THREAD_VARIABLES}
    return Reservation(config.trainer.num_nodes, launcher.cpus * devices, gpus, launcher.memory_gib, threads)
