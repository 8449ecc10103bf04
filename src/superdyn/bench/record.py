"""`scripts/bench`: all competitors side by side in one sitting, as JSON and as a table.

First the losses of all competitors on the same batches, then each one alone in a fresh process. Speeds are medians of
five, with the least and the greatest. Competitors that train one run after the other are measured at R = 1, which is
their speed at every R.
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
from superdyn.bench.one import LARGEST_SWEEP, ONE_BY_ONE, RIVALS
from superdyn.bench.table import table
from superdyn.bench.tax import lightning_tax
from superdyn.bench.workload import Workload

_REPETITIONS = 5
_SECONDS = 0.75
"""Least difference between the two timings of a repetition, one of which is four times as long."""

_EVERYTHING_ON = "superdyn sweep"


def workloads(quick: bool, device: str) -> list[Workload]:
    """The sizes, K = N/2. On a CPU, which one run of K = 512 fills, not the large packs of that width."""
    small = [Workload(runs, 64, 32, batch) for batch in (32, 256) for runs in (1, 64)]
    if quick:
        return small[:2]
    wide = [Workload(runs, 128, 64, 256) for runs in (1, 8, 64, 256)]
    return small + wide + [Workload(runs, 1024, 512, 256) for runs in ((1, 8, 64, 256) if device == "cuda" else (1,))]


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


def run_one(rival: str, workload: Workload, device: str) -> dict[str, Any]:
    """One competitor in a fresh process; `error` where it fails."""
    task = {"rival": rival, "workload": workload.__dict__, "device": device}
    task |= {"seconds": _SECONDS, "repetitions": _REPETITIONS}
    command = [sys.executable, "-m", "superdyn.bench.one", json.dumps(task)]
    environment = os.environ | {"WANDB_SILENT": "true", "WANDB_MODE": "offline"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        return {"error": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    found = json.loads(done.stdout.strip().splitlines()[-1])
    rates = found.pop("run_steps_per_s")
    summary = {"median": median(rates), "min": min(rates), "max": max(rates), "n": len(rates)}
    return {"run_steps_per_s": summary, "peak_memory_mib": found.pop("peak_memory_bytes") / 2**20, **found}


def compare(workload: Workload, device: str, rivals: list[str], alone: dict[str, Any]) -> dict[str, Any]:
    """All competitors on one workload; those that train runs one by one are taken from `alone`, the runs of R = 1."""
    results = {}
    for rival in rivals:
        if workload.runs > 1 and rival in ONE_BY_ONE:
            results[rival] = alone[rival]
        elif rival != _EVERYTHING_ON or (workload.runs in (1, 64) and workload.n_features <= LARGEST_SWEEP):
            results[rival] = run_one(rival, workload, device)
    return {"workload": workload.__dict__, "results": results}


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
    left_out = {"jax rbg"} if options.device == "cpu" else set()  # twice as slow there as JAX's own generator
    rivals = [r for r in RIVALS if r not in left_out and (not r.startswith("jax") or "jax" in equal)]
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
    out, alone = Path(options.out), {}
    for workload in workloads(options.quick, options.device):
        record["comparisons"].append(compare(workload, options.device, rivals, alone))
        alone = record["comparisons"][-1]["results"] if workload.runs == 1 else alone
        out.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
        out.with_suffix(".md").write_text(table(record))
    print(table(record))


if __name__ == "__main__":
    main()
