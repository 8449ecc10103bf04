"""Competitors that get ready at the same time and are measured one by one, each in a fresh process.

On a GPU a competitor imports and compiles for up to a minute, most of it on the host, and is then measured in seconds:
a group costs one such minute. While one is measured the others wait for a word and compute nothing. No process outlives
this one: each leads a process group, which is killed here, or by itself when the pipe to this process closes.
"""

import contextlib
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from superdyn.bench.one import READY

Task = tuple[dict[str, Any], str]
"""A workload and a competitor."""

REPETITIONS = 5

_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Limits:
    """Seconds: after `ready` and `measured` a competitor is killed, after `repetitions` it begins no other one.

    `difference` is the least between the two timings of a repetition, one of which is four times as long.
    """

    ready: float = math.inf
    measured: float = math.inf
    repetitions: float = math.inf
    difference: float = 0.75


LIMITS = {"cpu": Limits(), "cuda": Limits(ready=200.0, measured=150.0, repetitions=45.0, difference=0.25)}
"""Time on a GPU is often short, and what trains there alone is timed more evenly."""


def together(
    suite: str, unit: str, device: str, group: Sequence[Task], deadline: float, limits: Limits | None = None
) -> Iterator[tuple[Task, dict[str, Any]]]:
    """Every competitor of a group with its result, as soon as there is one; `error` where it failed.

    Speeds are given as median, least and greatest under `unit`. At the deadline, a moment of `time.monotonic`, those
    that are not being measured are killed, and have no result.

    Args:
        suite: the module whose `job` says how a competitor trains.
    """
    limits = LIMITS[device] if limits is None else limits
    waiting: dict[int, _Process] = {}
    try:
        for number, (workload, rival) in enumerate(group):
            task = {"suite": suite, "rival": rival, "workload": workload, "device": device}
            task |= {"seconds": limits.difference, "repetitions": REPETITIONS, "limit": limits.repetitions}
            waiting[number] = _Process(task)
        for number, error in _failures(waiting, deadline, limits.ready):
            waiting.pop(number).kill()
            yield group[number], {"error": error}
        while waiting and time.monotonic() < deadline:
            process = waiting[number := next(iter(waiting))]
            found = process.measured(limits.measured)
            waiting.pop(number).kill()
            if "rates" in found:
                memory = found.pop("peak_memory_bytes") / 2**20
                found = {unit: spread(found.pop("rates")), "peak_memory_mib": memory, **found}
                found |= {"prepared_together": len(group)} if len(group) > 1 else {}
            yield group[number], found
    finally:
        for process in waiting.values():
            process.kill()


def spread(values: list[float]) -> dict[str, float]:
    """Median, least, greatest and how many."""
    return {"median": median(values), "min": min(values), "max": max(values), "n": len(values)}


def _failures(preparing: dict[int, "_Process"], deadline: float, limit: float) -> Iterator[tuple[int, str]]:
    """Those that fail or take too long before they are ready, until all others are or the deadline has come."""
    end = time.monotonic() + limit
    while time.monotonic() < deadline and not all(process.is_ready() for process in preparing.values()):
        late = time.monotonic() > end
        for number, process in list(preparing.items()):
            if process.popen.poll() is not None:
                yield number, process.failure()
            elif late and not process.is_ready():
                yield number, f"not ready after {limit:.0f} s"
        time.sleep(_POLL_SECONDS)


class _Process:
    """A competitor's own process, at the head of a process group."""

    def __init__(self, task: dict[str, Any]):
        # JAX would take three quarters of a GPU's memory at its start, so that its peak would say nothing.
        environment = os.environ | {
            "WANDB_SILENT": "true", "WANDB_MODE": "offline", "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        }  # fmt: skip
        # Files, not pipes: nobody reads while another one is measured.
        self._out, self._err = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "superdyn.bench.one", json.dumps(task)],
            stdin=subprocess.PIPE, stdout=self._out, stderr=self._err, env=environment, start_new_session=True,
        )  # fmt: skip

    def is_ready(self) -> bool:
        """Whether it waits to be measured."""
        return READY in self._lines(self._out)

    def measured(self, limit: float) -> dict[str, Any]:
        """What it prints once it is told to measure, or the error."""
        assert self.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died since it was ready
            self.popen.stdin.write(b"\n")
            self.popen.stdin.flush()
        try:
            code = self.popen.wait(None if math.isinf(limit) else limit)
        except subprocess.TimeoutExpired:
            return {"error": f"measuring took longer than {limit:.0f} s"}
        last = self._lines(self._out)[-1]
        return {"error": self.failure()} if code or last == READY else json.loads(last)

    def failure(self) -> str:
        """Why it ended."""
        code = self.popen.wait()
        how = f"ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return (self._lines(self._err) or [how])[-1]

    def kill(self) -> None:
        """It and the children of its group, such as those that compile; one that is gone already is let go of."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.popen.pid, signal.SIGKILL)
        self.popen.wait()
        assert self.popen.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.popen.stdin.close()
        self._out.close()
        self._err.close()

    @staticmethod
    def _lines(file: Any) -> list[str]:
        """What it has written so far; its own place in the file, which it shares with this process, stays."""
        written = os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0)
        return [line for line in written.decode(errors="replace").splitlines() if line.strip()]
