"""`scripts/bench`: all competitors side by side in one sitting, as JSON and as a table.

First the losses of all competitors on the same batches, then each one alone in a fresh process, the rounds interleaved
so that a busy moment of the machine hits all alike. Speeds are medians over processes and repetitions, with the least
and the greatest.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from superdyn.bench.equality import largest_difference, losses_on_shared_batches
from superdyn.bench.exact import exact_against_sampled
from superdyn.bench.one import ONE_BY_ONE, RIVALS
from superdyn.bench.table import table
from superdyn.bench.tax import lightning_tax
from superdyn.bench.workload import Workload

_ROUNDS, _PER_ROUND = 2, 3
"""Processes of each competitor and repetitions in each: medians of six."""

_SECONDS = 1.5
"""Aimed length of the shorter timing."""


def workloads(quick: bool, device: str) -> list[Workload]:
    """The sizes, K = N/2. On a CPU, which one run of K = 512 fills, not the large packs of that width."""
    small = [Workload(runs, 64, 32, batch) for batch in (32, 256) for runs in (1, 64)]
    if quick:
        return small[:2]
    wide = [Workload(runs, 128, 64, 256) for runs in (1, 8, 64, 256)]
    return small + wide + [Workload(runs, 1024, 512, 256) for runs in ((1, 8, 64, 256) if device == "cuda" else (1, 8))]


def peak_flops(device: str) -> float:
    """What the device reaches in one large float32 product."""
    a = torch.randn(2048, 2048, device=device)
    best = 0.0
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(a, a)
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * 2048.0**3 / (time.perf_counter() - start))
    return best


def run_one(rival: str, workload: Workload, device: str, steps: int, repetitions: int) -> dict[str, Any]:
    """One competitor in a fresh process; `error` where it fails."""
    task = {"rival": rival, "workload": workload.__dict__, "device": device, "steps": steps}
    command = [sys.executable, "-m", "superdyn.bench.one", json.dumps(task | {"repetitions": repetitions})]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"WANDB_SILENT": "true"}
    )
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(workload: Workload, device: str, rivals: list[str]) -> dict[str, Any]:
    """All competitors on one workload."""
    found: dict[str, list[dict[str, Any]]] = {rival: [] for rival in rivals}
    steps: dict[str, int] = {}
    for rival in rivals:
        probe = run_one(rival, workload, device, 8, 1)
        together = 1 if rival in ONE_BY_ONE else workload.runs
        rate = max(probe.get("run_steps_per_s", [1.0])[0], 1.0) / together
        steps[rival] = int(min(max(_SECONDS * rate / 4, 4), 4000))
    for _ in range(_ROUNDS):
        for rival in rivals:
            found[rival].append(run_one(rival, workload, device, steps[rival], _PER_ROUND))
    return {"workload": workload.__dict__, "results": {r: _summary(parts) for r, parts in found.items()}}


def _summary(parts: list[dict[str, Any]]) -> dict[str, Any]:
    errors = [part["error"] for part in parts if "error" in part]
    if errors:
        return {"error": errors[0]}
    rates = [rate for part in parts for rate in part["run_steps_per_s"]]
    return {
        "run_steps_per_s": {"median": median(rates), "min": min(rates), "max": max(rates), "n": len(rates)},
        "cold_start_s": median(part["cold_start_s"] for part in parts),
        "peak_memory_mib": max(part["peak_memory_bytes"] for part in parts) / 2**20,
    }


def versions() -> str:
    """Python and the libraries that compete."""
    parts = [f"Python {platform.python_version()}"]
    for name in ("torch", "pytorch-lightning", "jax", "numpy", "wandb"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} not installed")
    return ", ".join(parts)


def hardware(device: str) -> str:
    """What the figures were measured on."""
    cpu = f"{os.cpu_count()} CPU cores ({platform.machine()})"
    return f"{torch.cuda.get_device_name()}, {cpu}" if device == "cuda" else cpu


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--quick", action="store_true", help="two small workloads only")
    parser.add_argument("--out", default="bench", help="writes OUT.json and OUT.md")
    options = parser.parse_args()
    equal = largest_difference(losses_on_shared_batches(Workload(2, 64, 32, 32), 30))
    rivals = [rival for rival in RIVALS if not rival.startswith("jax") or "jax" in equal]
    record = {
        "command": " ".join(["scripts/bench", *sys.argv[1:]]),
        "hardware": hardware(options.device),
        "versions": versions(),
        "loss_difference": equal,
        "peak_flops": peak_flops(options.device),
        "comparisons": [],
        "lightning_tax": lightning_tax(),
        "exact_against_sampled": exact_against_sampled(options.device),
    }
    out = Path(options.out)
    for workload in workloads(options.quick, options.device):
        record["comparisons"].append(compare(workload, options.device, rivals))
        out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
        out.with_suffix(".md").write_text(table(record))
    print(table(record))


if __name__ == "__main__":
    main()
