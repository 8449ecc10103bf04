"""The suite of toy students: R runs of one shape, against plain PyTorch, Lightning and JAX.

Competitors that train one run after the other are measured at R = 1, which is their speed at every R.
"""

import importlib.util
from collections.abc import Callable
from typing import Any

from superdyn.bench.timing import Job
from superdyn.bench.workload import Workload

RIVALS = ("plain", "plain tuned", "lightning", "lightning tuned", "jax", "jax rbg", "superdyn", "superdyn sweep")
ONE_BY_ONE = ("plain", "plain tuned", "lightning", "lightning tuned")
SWEEP_STEPS, LARGEST_SWEEP = 5000, 64
"""Steps of a whole sweep, and the number of features above which it would take too long."""

_EVERYTHING_ON = "superdyn sweep"
UNIT = "run_steps_per_s"
_FIRST = ("superdyn", "plain tuned", "jax")
"""Measured before the others, since time on a GPU may not reach for all."""
_MOST_AT_ONCE = 20
"""Competitors that get ready together on a GPU: the first twenty are those of which the aims speak."""

_UNEVEN = 3.0
"""How many times as long Lightning is timed on a GPU: its steps vary with what the host does."""


def workloads(quick: bool, device: str) -> list[Workload]:
    """The sizes, K = N/2. On a CPU, which one run of K = 512 fills, not the large packs of that width."""
    small = [Workload(runs, 64, 32, batch) for batch in (32, 256) for runs in (1, 64)]
    if quick:
        return small[:2]
    wide = [Workload(runs, 128, 64, 256) for runs in (1, 8, 64, 256)]
    if device == "cpu":
        return [*small, *wide, Workload(1, 1024, 512, 256)]
    widest = [Workload(runs, 1024, 512, 256) for runs in (1, 64, 8, 256)]
    return [*small[2:], *widest[:2], *wide, *small[:2], *widest[2:]]


def job(rival: str, workload: dict[str, Any], device: str) -> Job:
    """How a rival trains: one run, or all runs where it trains them together."""
    if "grid_width" in workload:
        from superdyn.bench.grid import GridWorkload
        from superdyn.bench.rivals.pack import Pack

        grid = GridWorkload(workload["grid_width"])
        return Job(Pack(grid, device).steps_only, float(grid.runs))
    load = Workload(**workload)
    if rival.startswith("jax"):
        from superdyn.bench.rivals.jax_scan import JaxScan

        scan = JaxScan(load, device, "rbg" if rival == "jax rbg" else "threefry2x32")
        return Job(scan.train, load.runs, memory=scan.peak_memory if device == "cuda" else None)
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
    uneven = device == "cuda" and rival.startswith("lightning")
    return Job(lambda steps: loop.train(0, steps), 1, longer=_UNEVEN if uneven else 1.0)


def tasks(quick: bool, device: str) -> list[tuple[dict[str, Any], str]]:
    """Workloads and competitors in the order of measuring."""
    left_out = {"jax rbg"} if device == "cpu" else set()  # twice as slow there as JAX's own generator
    if importlib.util.find_spec("jax") is None:
        left_out |= {"jax", "jax rbg"}
    later = [rival for rival in RIVALS if rival not in _FIRST]
    found = [
        (load, rival)
        for rivals in (_FIRST, later)
        for load in workloads(quick, device)
        for rival in rivals
        if rival not in left_out and (rival != _EVERYTHING_ON or _sweeps(load))
    ]
    if device == "cpu":
        return [(load.__dict__, rival) for load, rival in found]
    first = [task for task in _most_telling() if task in found]
    later = [(load.__dict__, rival) for load, rival in found if (load, rival) not in first]
    later.sort(key=lambda task: task[1] == "jax rbg")
    return [*((load.__dict__, rival) for load, rival in first), *([] if quick else _grid_ends()), *later]


def _grid_ends() -> list[tuple[dict[str, Any], str]]:
    """The narrowest and the widest pack of the autoencoders' grid."""
    from superdyn.bench.grid import widths

    return [({"grid_width": width}, "superdyn") for width in (widths()[0], widths()[-1])]


def at_once(workload: dict[str, Any], device: str) -> int:
    """How many competitors may get ready together."""
    return _MOST_AT_ONCE if device == "cuda" else 1


def _most_telling() -> list[tuple[Workload, str]]:
    """On a GPU: of which the aims speak, and packs at other R and N."""
    packs, alone = ("superdyn", "jax"), ("superdyn", "plain tuned", "jax")
    ordered = [
        (Workload(64, 128, 64, 256), (*packs, "jax rbg")),
        (Workload(1, 128, 64, 256), ("plain tuned", "lightning", "lightning tuned", "plain")),
        (Workload(1, 1024, 512, 256), alone),
        *((Workload(runs, 128, 64, 256), packs) for runs in (8, 256)),
        (Workload(64, 1024, 512, 256), packs),
        (Workload(1, 128, 64, 256), packs),
    ]
    return [(load, rival) for load, rivals in ordered for rival in rivals]


def _sweeps(load: Workload) -> bool:
    return load.runs in (1, 64) and load.n_features <= LARGEST_SWEEP


def described(workload: dict[str, Any]) -> dict[str, Any]:
    """Nothing but the workload itself."""
    return {}


def facts_before(quick: bool, device: str) -> dict[str, Callable[[], Any]]:
    """The speed of one product, and on a CPU that all train the same model."""
    from superdyn.bench.hardware import product_flops

    return {"peak_flops": lambda: product_flops(device)} | (_equality() if device == "cpu" else {})


def facts_beside(quick: bool, device: str) -> dict[str, Callable[[], Any]]:
    """On a GPU, while the competitors get ready, on the host: that all train the same model."""
    return _equality() if device == "cuda" else {}


def facts_after(quick: bool, device: str) -> dict[str, Callable[[], Any]]:
    """On a CPU what Lightning costs and exact gradients save."""
    if device == "cuda":
        return {}
    from superdyn.bench.exact import exact_against_sampled
    from superdyn.bench.tax import lightning_tax

    return {"lightning_tax": lightning_tax, "exact_against_sampled": lambda: exact_against_sampled(device)}


def _equality() -> dict[str, Callable[[], Any]]:
    return {"loss_difference": equal_losses}


def equal_losses() -> dict[str, float]:
    """By how much the losses of the competitors differ from the plain loop's, on the same batches."""
    from superdyn.bench.equality import largest_difference, losses_on_shared_batches

    return largest_difference(losses_on_shared_batches(Workload(2, 64, 32, 32), 30))
