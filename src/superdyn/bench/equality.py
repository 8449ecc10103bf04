"""That all competitors train the same model: on the same batches they reach the same losses.

Axis legend: `t` step, `r` run, `s` sample, `n` feature.
"""

import importlib.util

import numpy as np
import torch
from jaxtyping import Float

from superdyn.bench.rivals.jax_scan import JaxScan
from superdyn.bench.rivals.lightning_tutorial import LightningLoop
from superdyn.bench.rivals.pack import Pack
from superdyn.bench.rivals.plain import PlainLoop, TunedLoop
from superdyn.bench.workload import Workload, shared_batches


def losses_on_shared_batches(workload: Workload, steps: int) -> dict[str, Float[np.ndarray, "t r"]]:
    """The loss of every step of every run, by rival; JAX only where it is installed."""
    batches = np.stack([shared_batches(workload, run, steps) for run in range(workload.runs)], axis=1)
    found = {"superdyn": Pack(workload, "cpu").losses(batches)}
    loops = {
        "plain": PlainLoop(workload, "cpu"),
        "plain tuned": TunedLoop(workload, "cpu"),
        "lightning": LightningLoop(workload, "cpu"),
        "lightning tuned": LightningLoop(workload, "cpu", tuned=True),
    }
    for name, loop in loops.items():
        runs = [loop.train(r, steps, torch.from_numpy(batches[:, r])) for r in range(workload.runs)]
        found[name] = np.array(runs).T
    if importlib.util.find_spec("jax"):
        found["jax"] = JaxScan(workload, "cpu").train(steps, batches)
    return found


def largest_difference(losses: dict[str, Float[np.ndarray, "t r"]]) -> dict[str, float]:
    """Largest relative difference of each rival's losses from the plain loop's."""
    plain = losses["plain"]
    return {name: float(np.abs(values / plain - 1).max()) for name, values in losses.items()}
