"""One competitor in a process of its own: `python -m superdyn.bench.one '{"rival": …, "workload": {…}, …}'`.

Prints one JSON object: seconds from the start of this module to the end of the first step of training (cold start),
run-steps per second of each repetition, and the peak of resident memory. A repetition is timed at two lengths, and the
difference counts, so that what is done once per training does not. A whole sweep, whose measurements grow rarer with
its length, is timed at one length, setting up and fitting included, and only once for many runs.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_STARTED = time.perf_counter()

RIVALS = ("plain", "plain tuned", "lightning", "lightning tuned", "jax", "jax rbg", "superdyn", "superdyn sweep")
SWEEP_STEPS, LARGEST_SWEEP = 5000, 64
"""Steps of a whole sweep, and the number of features above which it would take too long."""
ONE_BY_ONE = ("plain", "plain tuned", "lightning", "lightning tuned")


def trainer_of(rival: str, workload: Any, device: str) -> Callable[[int], Any]:
    """A function of the number of steps that trains: one run, or all runs where the rival trains them together."""
    if rival.startswith("jax"):
        from superdyn.bench.rivals.jax_scan import JaxScan

        return JaxScan(workload, "rbg" if rival == "jax rbg" else "threefry2x32").train
    if rival.startswith("superdyn"):
        from superdyn.bench.rivals.pack import Pack

        pack = Pack(workload, device)
        return pack.train if rival == "superdyn sweep" else pack.steps_only
    if rival.startswith("lightning"):
        from superdyn.bench.rivals.lightning_tutorial import LightningLoop

        loop = LightningLoop(workload, device, tuned=rival.endswith("tuned"))
    else:
        from superdyn.bench.rivals.plain import PlainLoop, TunedLoop

        loop = (TunedLoop if rival.endswith("tuned") else PlainLoop)(workload, device)
    return lambda steps: loop.train(0, steps)


def measure(task: dict[str, Any]) -> dict[str, Any]:
    """Cold start, speed and memory of one rival."""
    from superdyn.bench.workload import Workload

    if task.get("threads"):
        import torch

        torch.set_num_threads(task["threads"])
    workload, rival = Workload(**task["workload"]), task["rival"]
    train = trainer_of(rival, workload, task["device"])
    train(1)
    cold = time.perf_counter() - _STARTED
    together = 1 if rival in ONE_BY_ONE else workload.runs
    if rival == "superdyn sweep":
        repetitions = task["repetitions"] if workload.runs == 1 else 1
        rates = [workload.runs * SWEEP_STEPS / _seconds(train, SWEEP_STEPS) for _ in range(repetitions)]
        return {"cold_start_s": cold, "run_steps_per_s": rates, "peak_memory_bytes": _peak_memory()}
    short = 2
    while _difference(train, short)[0] < task["seconds"] and short < 2**16:
        short *= 4
    rates = []
    for _ in range(task["repetitions"]):
        seconds, steps = _difference(train, short)
        rates.append(together * steps / seconds)
    return {"cold_start_s": cold, "run_steps_per_s": rates, "peak_memory_bytes": _peak_memory()}


def _difference(train: Callable[[int], Any], steps: int) -> tuple[float, int]:
    """By how much a training of 4 · `steps` takes longer than one of `steps`, and the steps that this is for."""
    return -_seconds(train, steps) + _seconds(train, 4 * steps), 3 * steps


def _seconds(train: Callable[[int], Any], steps: int) -> float:
    start = time.perf_counter()
    train(steps)
    return time.perf_counter() - start


def _peak_memory() -> int:
    """Of this process; the system's own record of children would begin with the parent's."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("VmHWM:")[2].split()[0])


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
