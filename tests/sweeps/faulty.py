"""Students for runs that something goes wrong with; what happens is said by files, so that it happens in any process.

`SUPERDYN_TEST_FAULTS` names a folder: each fault that it holds as a file is used up by the first who meets it. Every
student notes there which seeds it was built for.
"""

import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from superdyn.config import RunConfig
from superdyn.models.student import Student

FOLDER = "SUPERDYN_TEST_FAULTS"
FAULTY = ["model._target_=sweeps.faulty.FaultyStudent"]


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _lose_device() -> None:
    raise torch.AcceleratorError("CUDA error: unspecified launch failure")


def _run_out_of_memory() -> None:
    raise RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried …")


FAULTS: dict[str, Callable[[], None]] = {"kill": _kill, "device": _lose_device, "memory": _run_out_of_memory}


class FaultyStudent(Student):
    """The usual student; the first training step of a pack meets the next fault that is prepared."""

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__(configs)
        self._seeds = [config.seed for config in configs]
        self._met = False

    def sampled_gradients(self, batch, importance):
        if not self._met:
            self._met = True
            folder = Path(os.environ[FOLDER])
            with (folder / "trained").open("a") as file:
                file.writelines(f"{seed}\n" for seed in self._seeds)
            for name, act in FAULTS.items():
                if _use_up(folder / name):
                    act()
        return super().sampled_gradients(batch, importance)


def _use_up(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
