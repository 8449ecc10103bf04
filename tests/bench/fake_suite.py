"""Competitors that sleep, fail or hang, and write down when: a suite for processes that tests start.

A workload names the folder of their notes: `spans`, JSON lines of (rival, phase, start, end) by the clock that all
processes share, and `processes`, the numbers of every process and of a child that it left to compile.
"""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

from superdyn.bench.timing import Job

UNIT, ONE_BY_ONE = "steps_per_s", ()
WHOLE_STEPS, SECONDS = 10, 0.4


def job(rival: str, workload: dict[str, Any], device: str) -> Job:
    """`rival` says what becomes of it: "sleeps", "fails preparing", "fails measuring", "hangs preparing", …"""
    folder = Path(workload["folder"])

    def train(steps: int) -> None:
        start, phase = time.monotonic(), "preparing" if steps == 1 else "measuring"
        if rival == f"fails {phase}" and not (folder / "mended").exists():
            raise RuntimeError(f"no luck while {phase}")
        if rival == f"hangs {phase}":
            compiles = subprocess.Popen(["sleep", "600"])
            note(folder / "processes", [os.getpid(), compiles.pid])
            compiles.wait()
        time.sleep(max(SECONDS, workload.get("measures_until", 0.0) - start if phase == "measuring" else 0.0))
        note(folder / "spans", [rival, phase, start, time.monotonic()])

    return Job(train, 1.0, whole=WHOLE_STEPS, repeated=False)


def note(path: Path, value: Any) -> None:
    with path.open("a") as file:
        file.write(json.dumps(value) + "\n")


def tasks(quick: bool, device: str) -> list[tuple[dict[str, Any], str]]:
    return [({"runs": 1, "folder": os.environ["FAKE_FOLDER"]}, rival) for rival in os.environ["FAKE_RIVALS"].split(",")]


def at_once(workload: dict[str, Any], device: str) -> int:
    return 4


def described(workload: dict[str, Any]) -> dict[str, Any]:
    return {}


def facts_before(quick: bool, device: str) -> dict[str, Any]:
    return {}


facts_after = facts_beside = facts_before
