"""Lightning's tax: a whole run of the smallest model with every callback and offline W&B, against the plain loop."""

import time
from typing import Any

from superdyn.bench.rivals.pack import Pack
from superdyn.bench.rivals.plain import PlainLoop
from superdyn.bench.together import spread
from superdyn.bench.workload import Workload

SMALLEST = Workload(runs=1, n_features=64, width=32, batch_size=32)


def lightning_tax(steps: int = 10_000, repetitions: int = 5) -> dict[str, Any]:
    """Ratio of the wall time of `superdyn` (R = 1, everything on, files and fit included) to that of the plain loop."""
    pack, plain = Pack(SMALLEST, "cpu"), PlainLoop(SMALLEST, "cpu")
    pack.train(10)
    plain.train(0, 10)
    ratios = []
    for _ in range(repetitions):
        start = time.perf_counter()
        pack.train(steps)
        middle = time.perf_counter()
        plain.train(0, steps)
        ratios.append((middle - start) / (time.perf_counter() - middle))
    return {"steps": steps, "ratio": spread(ratios)}
