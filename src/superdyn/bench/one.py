"""One competitor in a process of its own: `python -m superdyn.bench.one '{"suite": …, "rival": …, "workload": …, …}'`.

Prints one JSON object: seconds from the start of this module to the end of the first step of training (cold start),
units of work per second of each repetition, and the peak of memory. `alone` starts such a process and reads it.
"""

import json
import math
import os
import subprocess
import sys
import time
from importlib import import_module
from statistics import median
from typing import Any

_STARTED = time.perf_counter()

REPETITIONS = 5
_SECONDS = 0.75
"""Least difference between the two timings of a repetition, one of which is four times as long."""

_LIMITS = {"cpu": math.inf, "cuda": 45.0}
"""Seconds after which no repetition is begun, since time on a GPU is lent by the minute."""
_LONGEST = {"cpu": None, "cuda": 300.0}
"""Seconds after which a competitor is stopped."""


def alone(suite: str, rival: str, workload: dict[str, Any], device: str, unit: str) -> dict[str, Any]:
    """One competitor in a fresh process; speeds as median, least and greatest under `unit`; `error` where it fails."""
    task = {"suite": suite, "rival": rival, "workload": workload, "device": device}
    task |= {"seconds": _SECONDS, "repetitions": REPETITIONS, "limit": _LIMITS[device]}
    command = [sys.executable, "-m", "superdyn.bench.one", json.dumps(task)]
    # JAX would take three quarters of a GPU's memory at its start, so that its peak would say nothing.
    environment = os.environ | {
        "WANDB_SILENT": "true", "WANDB_MODE": "offline", "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }  # fmt: skip
    limit = _LONGEST[device]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=limit)
    except subprocess.TimeoutExpired:
        return {"error": f"took longer than {limit:.0f} s"}
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    found = json.loads(done.stdout.strip().splitlines()[-1])
    summary = spread(found.pop("rates"))
    return {unit: summary, "peak_memory_mib": found.pop("peak_memory_bytes") / 2**20, **found}


def spread(values: list[float]) -> dict[str, float]:
    """Median, least, greatest and how many."""
    return {"median": median(values), "min": min(values), "max": max(values), "n": len(values)}


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Cold start, speed and memory of one competitor of a suite, which is a module of this room with a `job`."""
    suite = import_module(f"superdyn.bench.{task['suite']}")
    job = suite.job(task["rival"], task["workload"], task["device"])
    job.train(1)
    cold = time.perf_counter() - _STARTED
    from superdyn.bench.timing import peak_memory, rates  # imports torch, which a competitor may not need

    found = rates(job, task["seconds"], task["repetitions"], task["limit"])
    memory = peak_memory(task["device"]) if job.memory is None else job.memory()
    return {"cold_start_s": cold, "rates": found, "peak_memory_bytes": memory}


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
