"""How a competitor is timed: two lengths of training, of which the difference counts, in repetitions.

What is done once per training then does not count. A whole sweep, whose measurements grow rarer with its length, is
timed at one length instead, setting up and fitting included.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

_FIRST_STEPS, _MOST_STEPS = 2, 2**16


@dataclass(frozen=True)
class Job:
    """What one competitor does.

    Attributes:
        train: trains so many steps, and returns when they are done.
        per_step: units of work in a step: run-steps, or tokens.
        whole: the one length at which a whole sweep is timed; None to take the difference of two.
        repeated: whether repeating it tells something new.
        longer: how many times as long as others it is timed, because its setting up takes long and varies.
        memory: bytes that it took at most, where torch does not know.
    """

    train: Callable[[int], Any]
    per_step: float
    whole: int | None = None
    repeated: bool = True
    longer: float = 1.0
    memory: Callable[[], int] | None = None


def rates(job: Job, seconds: float, repetitions: int, limit: float = math.inf) -> list[float]:
    """Units of work a second in every repetition, whose two lengths differ by about `seconds` at least.

    None is begun after `limit` seconds, but the first.
    """
    began = time.perf_counter()
    short = None if job.whole is not None else _length(job, seconds)
    found: list[float] = []
    while len(found) < (repetitions if job.repeated else 1):
        if found and time.perf_counter() - began > limit:
            break
        if job.whole is not None:
            found.append(job.per_step * job.whole / _seconds(job.train, job.whole))
        else:
            assert short is not None
            taken, steps = _difference(job.train, short)
            found.append(job.per_step * steps / taken)
    return found


def _length(job: Job, seconds: float) -> int:
    """Steps of the shorter training."""
    short, wanted = _FIRST_STEPS, job.longer * seconds
    while short < _MOST_STEPS and (taken := _difference(job.train, short)[0]) < wanted:
        short *= 16 if taken < wanted / 16 else 4
    return min(short, _MOST_STEPS)


def peak_memory(device: str) -> int:
    """Bytes: on a GPU of torch's tensors there; else resident memory of this process.

    The system's own record of child processes would begin with the parent's.
    """
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _difference(train: Callable[[int], Any], steps: int) -> tuple[float, int]:
    """By how much a training of 4 · `steps` takes longer than one of `steps`, and the steps that this is for."""
    return -_seconds(train, steps) + _seconds(train, 4 * steps), 3 * steps


def _seconds(train: Callable[[int], Any], steps: int) -> float:
    start = time.perf_counter()
    train(steps)
    return time.perf_counter() - start
