"""The suite of toy students: R runs of one shape, against plain PyTorch, Lightning and JAX.

Competitors that train one run after the other are measured at R = 1, which is their speed at every R.
"""

from collections.abc import Iterator
from typing import Any

from superdyn.bench.one import alone
from superdyn.bench.timing import Job
from superdyn.bench.workload import Workload

RIVALS = ("plain", "plain tuned", "lightning", "lightning tuned", "jax", "jax rbg", "superdyn", "superdyn sweep")
ONE_BY_ONE = ("plain", "plain tuned", "lightning", "lightning tuned")
SWEEP_STEPS, LARGEST_SWEEP = 5000, 64
"""Steps of a whole sweep, and the number of features above which it would take too long."""

_EVERYTHING_ON = "superdyn sweep"
_UNIT = "run_steps_per_s"


def workloads(quick: bool, device: str) -> list[Workload]:
    """The sizes, K = N/2. On a CPU, which one run of K = 512 fills, not the large packs of that width."""
    small = [Workload(runs, 64, 32, batch) for batch in (32, 256) for runs in (1, 64)]
    if quick:
        return small[:2]
    wide = [Workload(runs, 128, 64, 256) for runs in (1, 8, 64, 256)]
    return small + wide + [Workload(runs, 1024, 512, 256) for runs in ((1, 8, 64, 256) if device == "cuda" else (1,))]


def job(rival: str, workload: dict[str, Any], device: str) -> Job:
    """How a rival trains: one run, or all runs where it trains them together."""
    load = Workload(**workload)
    if rival.startswith("jax"):
        from superdyn.bench.rivals.jax_scan import JaxScan

        return Job(JaxScan(load, "rbg" if rival == "jax rbg" else "threefry2x32").train, load.runs)
    if rival.startswith("superdyn"):
        from superdyn.bench.rivals.pack import Pack

        pack = Pack(load, device)
        if rival != _EVERYTHING_ON:
            return Job(pack.steps_only, load.runs)
        return Job(pack.train, load.runs, whole=SWEEP_STEPS, repeated=load.runs == 1)
    if rival.startswith("lightning"):
        from superdyn.bench.rivals.lightning_tutorial import LightningLoop

        loop = LightningLoop(load, device, tuned=rival.endswith("tuned"))
    else:
        from superdyn.bench.rivals.plain import PlainLoop, TunedLoop

        loop = (TunedLoop if rival.endswith("tuned") else PlainLoop)(load, device)
    return Job(lambda steps: loop.train(0, steps), 1)


def records(quick: bool, device: str) -> Iterator[dict[str, Any]]:
    """The record, growing by one workload at a time."""
    from superdyn.bench.equality import largest_difference, losses_on_shared_batches
    from superdyn.bench.exact import exact_against_sampled
    from superdyn.bench.hardware import product_flops
    from superdyn.bench.tax import lightning_tax

    equal = largest_difference(losses_on_shared_batches(Workload(2, 64, 32, 32), 30))
    left_out = {"jax rbg"} if device == "cpu" else set()  # twice as slow there as JAX's own generator
    rivals = [r for r in RIVALS if r not in left_out and (not r.startswith("jax") or "jax" in equal)]
    record = {
        "loss_difference": equal,
        "peak_flops": product_flops(device),
        "comparisons": [],
        "lightning_tax": lightning_tax(),
        "exact_against_sampled": exact_against_sampled(device),
    }
    single: dict[str, Any] = {}
    for workload in workloads(quick, device):
        record["comparisons"].append(_compare(workload, device, rivals, single))
        single = record["comparisons"][-1]["results"] if workload.runs == 1 else single
        yield record


def _compare(workload: Workload, device: str, rivals: list[str], single: dict[str, Any]) -> dict[str, Any]:
    """All competitors on one workload; those that train runs one by one are taken from `single`, the runs of R = 1."""
    results = {}
    for rival in rivals:
        if workload.runs > 1 and rival in ONE_BY_ONE:
            results[rival] = single[rival]
        elif rival != _EVERYTHING_ON or (workload.runs in (1, 64) and workload.n_features <= LARGEST_SWEEP):
            results[rival] = alone("students", rival, workload.__dict__, device, _UNIT)
    return {"workload": workload.__dict__, "results": results}
