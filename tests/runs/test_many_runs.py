"""2,000 finished runs are looked at, loaded and launched again in less than five seconds each, and verified soon."""

import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest
from finished_sweep import grid, multiply

from superdyn.hydra_app import train
from superdyn.runs.sweep_folder import run_folders

N_RUNS, SECONDS, VERIFY_SECONDS, TIMES = 2000, 5.0, 10.0, 3
TINY = ["logger=none", "trainer.progress=false", "data.n_features=32", "data.batch_size=8", "trainer.max_steps=2000"]
MAIN = "import sys; from superdyn.cli import main; sys.exit(main())"
LOAD = "import sys; from superdyn.analysis import load_sweep; print(len(load_sweep(sys.argv[1])), 'runs')"


@pytest.fixture(scope="module")
def sweep(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("many") / "sweep"
    outcome = train(["-m", *TINY, "data.data_exponent=1.2", "seed=0", f"hydra.sweep.dir={folder}"])
    assert outcome is not None
    multiply(folder, N_RUNS)
    return folder


def timed(*command: str, expected: str) -> list[float]:
    """Seconds of each of three whole commands, which must print `expected`."""
    seconds = []
    for _ in range(TIMES):
        begin = time.perf_counter()
        answer = subprocess.run([sys.executable, "-c", *command], capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - begin)
        assert answer.returncode == 0, answer.stderr
        assert expected in answer.stdout
    print(f"\n{command[1:3]}: median {statistics.median(seconds):.2f} s of {sorted(seconds)} on {os.cpu_count()} cores")
    return seconds


@pytest.mark.slow
def test_status_takes_less_than_five_seconds(sweep: Path) -> None:
    assert statistics.median(timed(MAIN, "status", str(sweep), expected=f"{N_RUNS} done")) < SECONDS


@pytest.mark.slow
def test_load_sweep_takes_less_than_five_seconds(sweep: Path) -> None:
    assert statistics.median(timed(LOAD, str(sweep), expected=f"{N_RUNS} runs")) < SECONDS


@pytest.mark.slow
def test_verify_takes_less_than_ten_seconds_of_a_core(sweep: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    timed(MAIN, "verify", str(sweep), expected=f"{sweep}: intact; {N_RUNS:,} runs, ")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / TIMES
    print(f"mean {seconds:.2f} s of CPU time")
    assert seconds < VERIFY_SECONDS


@pytest.mark.slow
def test_a_launch_with_nothing_to_do_takes_less_than_five_seconds(sweep: Path) -> None:
    before = {run.path / "status.json": run.path.stat().st_mtime_ns for run in run_folders(sweep)}
    command = ["train", "-m", *TINY, *grid(N_RUNS), f"hydra.sweep.dir={sweep}"]
    expected = f"{N_RUNS} done ({N_RUNS} before), 0 failed, {N_RUNS} runs"
    assert statistics.median(timed(MAIN, *command, expected=expected)) < SECONDS
    assert {run.path / "status.json": run.path.stat().st_mtime_ns for run in run_folders(sweep)} == before
