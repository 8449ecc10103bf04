"""One competitor in a process of its own: `python -m superdyn.bench.one '{"rival": …, "workload": {…}, …}'`.

Prints one JSON object: seconds from the start of this module to the end of the first step of training (cold start),
run-steps per second of each repetition, and the peak of resident memory. A repetition is timed at two lengths, and the
difference counts, so that what is done once per training does not.
"""

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

_STARTED = time.perf_counter()

RIVALS = ("plain", "plain tuned", "lightning", "lightning tuned", "jax", "jax rbg", "superdyn", "superdyn sweep")
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
    short, long = task["steps"], 4 * task["steps"]
    for steps in (short, long):
        train(steps)
    rates = []
    for _ in range(task["repetitions"]):
        seconds = []
        for steps in (short, long):
            start = time.perf_counter()
            train(steps)
            seconds.append(time.perf_counter() - start)
        rates.append(together * (long - short) / (seconds[1] - seconds[0]))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"cold_start_s": cold, "run_steps_per_s": rates, "peak_memory_bytes": memory}


if __name__ == "__main__":
    print(json.dumps(measure(json.loads(sys.argv[1]))))
