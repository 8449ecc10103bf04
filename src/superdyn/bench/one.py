"""One competitor in a process of its own: `python -m superdyn.bench.one '{"suite": …, "rival": …, "workload": …, …}'`.

It gets ready, says so on standard output, and waits for a line on standard input, so that several get ready at once and
are measured one by one (`together.py`). Then it prints one JSON object: seconds from the start of this module to the
end of the first step of training (cold start), units of work per second of each repetition, and the peak of memory.
It and its children end when standard input closes.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

_STARTED = time.perf_counter()

READY = "superdyn.bench.one: ready"


def prepared(task: dict[str, Any]) -> Callable[[], dict[str, Any]]:
    """What measures one competitor of a suite, a module with a `job`, after it has compiled and found its length."""
    job = import_module(task["suite"]).job(task["rival"], task["workload"], task["device"])
    job.train(1)
    cold = time.perf_counter() - _STARTED
    from superdyn.bench.timing import peak_memory, rates, settled

    short = settled(job, task["seconds"])

    def measure() -> dict[str, Any]:
        found = rates(job, short, task["seconds"], task["repetitions"], task["limit"])
        memory = peak_memory(task["device"]) if job.memory is None else job.memory()
        return {"cold_start_s": cold, "rates": found, "peak_memory_bytes": memory}

    return measure


def main(task: dict[str, Any]) -> None:
    """Prepare, wait, measure, print."""
    told = threading.Event()
    threading.Thread(target=_listen, args=(told,), daemon=True).start()
    measure = prepared(task)
    print(f"\n{READY}", flush=True)
    told.wait()
    print(f"\n{json.dumps(measure())}", flush=True)


def _listen(told: threading.Event) -> None:
    # A killed parent says nothing, but the pipe that it held closes. Python's own reader would hold a lock at exit.
    while os.read(sys.stdin.fileno(), 1):
        told.set()
    with contextlib.suppress(ProcessLookupError):  # started by hand it need not lead a group, and goes on
        os.killpg(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
