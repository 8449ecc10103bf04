"""SIGKILL at a hundred random moments of a sweep of forty points: rerun, it ends with the bits of one left in peace.

Minutes, so `slow`. Processes are forked from a server that has imported torch and Lightning, so that most moments fall
into the work and not into imports; the workers of `launcher=local` start afresh as always.
"""

import multiprocessing
import os
import random
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest
from sweeps.conftest import TINY
from sweeps.test_faults import assert_same_sweep

from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_folder import run_folders
from superdyn.verify.verification import verification

KILLS = int(os.environ.get("SUPERDYN_TEST_KILLS", "100"))
GRID = [
    *(text for text in TINY if "max_steps" not in text and "progress" not in text), "trainer.progress=false",
    "seed=range(10)", "optimizer=sgd,adam", "data.data_exponent=1.5,2", "trainer.max_steps=400",
    "trainer.checkpoint_minutes=0.002", "launcher.max_pack_size=5", "optimizer.lr=0.05",
]  # fmt: skip
"""Forty points in eight packs."""

EXECUTORS = {
    "pack": [],
    "local": ["launcher=local", "launcher.slots=2", "launcher.stagger_seconds=0"],
    "submitit": ["launcher=slurm", "launcher.cluster=local", "launcher.max_parallel=2"],
}
LONGEST_SECONDS = {"pack": 6.0, "local": 14.0, "submitit": 18.0}


def train(folder: str, overrides: list[str]) -> None:
    from superdyn.cli import main

    os.setpgid(0, 0)
    raise SystemExit(main(["train", "-m", *GRID, *overrides, f"hydra.sweep.dir={folder}"]))


@pytest.fixture(scope="module")
def server():
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["superdyn.cli", "superdyn.hydra_app", "superdyn.sweeps.train_pack", "superdyn.report"]
    )
    return context


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    process = server.Process(target=train, args=(str(folder), []))
    process.start()
    process.join()
    assert process.exitcode == 0
    return folder


def victims(launch: int, sweep: Path) -> list[int]:
    """The launch, and every process whose command names a file of the sweep: workers, and jobs that attend them."""
    found = subprocess.run(["pgrep", "-f", str(sweep)], capture_output=True, text=True)
    return [launch, *(int(line) for line in found.stdout.split())]


def assert_readable(sweep: Path) -> None:
    """No file of any run is half a file, nor another than its manifest says."""
    for run in run_folders(sweep):
        work = verification(run.path)
        list(work.run())
        assert work.problems == []
        folder = RunFolder(run.path)
        for read in (folder.config, folder.status, folder.environment, folder.curve, folder.spectrum, folder.result):
            read()


@pytest.mark.slow
@pytest.mark.parametrize("executor", list(EXECUTORS))
def test_killed_at_random_moments_and_run_again_the_sweep_is_that_of_an_undisturbed_one(
    executor, server, whole, tmp_path
):
    moments, kills, finished = random.Random(0), 0, 0
    sweep = tmp_path / "sweep-0"
    while kills < KILLS or not finished:
        process = server.Process(target=train, args=(str(sweep), EXECUTORS[executor]))
        process.start()
        process.join(moments.uniform(0.0, LONGEST_SECONDS[executor]) if kills < KILLS else None)
        if process.exitcode is None:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(moments.choice(victims(process.pid, sweep)), signal.SIGKILL)
            kills += 1
            if executor != "pack":
                process.join(moments.uniform(0.0, 4.0))
                process.kill()
            process.join()
            if sweep.is_dir():
                assert_readable(sweep)
            continue
        assert process.exitcode == 0
        assert_same_sweep(sweep, whole)
        assert list(verification(sweep).run()) == []
        finished += 1
        sweep = tmp_path / f"sweep-{finished}"
    print(f"{executor}: {kills} kills, {finished} sweeps finished, all equal")
