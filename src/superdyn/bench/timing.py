"""How a competitor is timed: two lengths of training, of which the difference counts, in repetitions.

What is done once per training then does not count, nor what is done once per length, such as compiling: both have been
trained before a timed pair. A whole sweep, whose measurements grow rarer with its length, is timed at one length
instead, setting up and fitting included.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_MOST_STEPS = 2**16
"""Of the shorter training."""


@dataclass(frozen=True)
class Job:
    """What one competitor does.

    Attributes:
        train: trains so many steps, and returns when they are done.
        per_step: units of work in a step: run-steps, or tokens.
        whole: the one length at which a whole sweep is timed; None to take the difference of two.
        repeated: whether repeating it tells something new.
        longer: how many times as long as others it is timed, because its setting up takes long and varies.
        first_steps: of the shorter training with which the search for a length begins.
        memory: bytes that it took at most, where torch does not know.
    """

    train: Callable[[int], Any]
    per_step: float
    whole: int | None = None
    repeated: bool = True
    longer: float = 1.0
    first_steps: int = 2
    memory: Callable[[], int] | None = None


def settled(job: Job, seconds: float, short: int = 0) -> int:
    """Steps of the shorter of two trainings that differ by `seconds` or more, or the most that are allowed.

    Both lengths have been trained when this returns, which may be while other processes compute too.

    Args:
        short: steps to begin with; 0 for the job's own.
    """
    short = short or job.first_steps
    while job.whole is None:
        for steps in (short, 4 * short):
            job.train(steps)
        taken = _difference(job.train, short)
        if taken[0] >= job.longer * seconds or short == _MOST_STEPS:
            break
        short = _lengthened(short, *taken, job.longer * seconds)
    return short


def rates(job: Job, short: int, seconds: float, repetitions: int, limit: float = math.inf) -> list[float]:
    """Units of work a second in every repetition, whose two lengths differ by half of `seconds` at least.

    Where they do not, all repetitions are made again with longer trainings. None is begun after `limit` seconds, but
    the first.

    Args:
        short: steps of the shorter training, as `settled` found them.

    Raises:
        RuntimeError: the longest allowed trainings do not differ by as much either.
    """
    began, wanted = time.perf_counter(), job.longer * seconds
    found: list[float] = []
    while len(found) < (repetitions if job.repeated else 1):
        if found and time.perf_counter() - began > limit:
            break
        if job.whole is not None:
            found.append(job.per_step * job.whole / _seconds(job.train, job.whole))
            continue
        taken, longest = _difference(job.train, short)
        if taken >= wanted / 2 and taken > 0:
            found.append(job.per_step * 3 * short / taken)
        elif short == _MOST_STEPS:
            raise RuntimeError(
                f"{4 * short:,} steps took {taken:.2f} s longer than {short:,}, and a speed is told from "
                f"{wanted / 2:.2f} s or more."
            )
        else:
            short, found = settled(job, seconds, _lengthened(short, taken, longest, wanted)), []
    return found


def peak_memory(device: str) -> int:
    """Bytes: on a GPU of torch's tensors there; else resident memory of this process.

    The system's own record of child processes would begin with the parent's.
    """
    if device == "cuda":
        import torch  # which a competitor may not need, and would have to wait for

        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


def _lengthened(short: int, taken: float, longest: float, wanted: float) -> int:
    """A longer training, by the power of two that should do, 16 at most.

    The difference `taken` may be off by what else the machine did, so that it counts as an eighth of the longer
    training at least; were the setting up nothing, it would be three quarters.
    """
    missing = wanted / max(taken, longest / 8, 1e-9)
    return min(short * 2 ** min(math.ceil(math.log2(max(missing, 2))), 4), _MOST_STEPS)


def _difference(train: Callable[[int], Any], steps: int) -> tuple[float, float]:
    """By how many seconds a training of 4 · `steps` takes longer than one of `steps`, and how many it takes."""
    shorter = _seconds(train, steps)
    longer = _seconds(train, 4 * steps)
    return longer - shorter, longer


def _seconds(train: Callable[[int], Any], steps: int) -> float:
    start = time.perf_counter()
    train(steps)
    return time.perf_counter() - start
