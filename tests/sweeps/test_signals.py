"""A sweep that is stopped or killed goes on where it was, and ends with the bits of one that was left in peace.

Real processes of the installed command; the three signals are sent to three sweeps that start at the same time.
"""

import signal
import subprocess
import time
from typing import Any

import pytest
from sweeps.command import PATIENCE_SECONDS, SUPERDYN, n_in_training, statuses
from training.test_packs import assert_same_run

from superdyn.cli import main
from superdyn.runs.sweep_folder import run_folders
from superdyn.verify.verification import verification

MAX_STEPS = 2000
OVERRIDES = [
    "logger=none",
    "data.n_features=16",
    "data.batch_size=8",
    "data.eval_size=64",
    f"trainer.max_steps={MAX_STEPS}",
    "trainer.checkpoint_minutes=0.0001",
    "trainer.chunk_steps=16",
    "seed=0,1",
    "optimizer=sgd,adam",
]
"""Two packs of two runs; a signal that comes as the first one ends catches the second."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -signal.SIGKILL}


def arguments(folder):
    return ["train", "-m", *OVERRIDES, f"hydra.sweep.dir={folder}"]


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """By signal: the sweep's folder, and the process with its exit code and output."""
    root, processes = tmp_path_factory.mktemp("stopped"), {}
    for number in SIGNALS:
        processes[number] = subprocess.Popen(
            [SUPERDYN, *arguments(root / number.name)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
    found = {}
    waiting = dict(processes)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while waiting:
        assert time.monotonic() < deadline
        time.sleep(0.01)
        for number in [number for number in waiting if n_in_training(root / number.name)]:
            waiting.pop(number).send_signal(number)
        assert all(process.poll() is None for process in waiting.values()), "a sweep ended before its signal was sent"
    for number, process in processes.items():
        out, err = process.communicate(timeout=PATIENCE_SECONDS)
        found[number] = root / number.name, process.returncode, out, err
    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a sweep that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(arguments(folder)) == 0
    return folder


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_the_exit_code_says_which_signal(number, stopped):
    _, code, _, err = stopped[number]
    assert code == EXIT_CODES[number]
    assert "Traceback" not in err


@pytest.mark.parametrize("number", SIGNALS[:2], ids=lambda number: number.name)
def test_the_stopped_runs_say_that_they_are_interrupted(number, stopped):
    folder = stopped[number][0]
    states = [status["state"] for status in statuses(folder)]
    assert "interrupted" in states
    assert "running" not in states


def test_ctrl_c_says_how_to_go_on(stopped):
    folder, _, out, _ = stopped[signal.SIGINT]
    assert "stopped; resume with the same command" in out
    assert f"superdyn retry {folder}" in out


def test_a_pipe_gets_plain_lines(stopped):
    out = stopped[signal.SIGINT][2]
    assert out.startswith(f"0/4 runs finished · 2 in training · step 0/{MAX_STEPS:,}")
    assert "\x1b" not in out
    assert "\r" not in out


@pytest.mark.parametrize(
    "number", [*(pytest.param(n, marks=pytest.mark.slow) for n in SIGNALS[:2]), SIGNALS[2]], ids=lambda n: n.name
)
def test_the_same_command_finishes_the_sweep_bit_for_bit(number, stopped, whole):
    folder = stopped[number][0]
    assert main(arguments(folder)) == 0
    one: list[Any] = list(run_folders(folder))
    other: list[Any] = list(run_folders(whole))
    assert [run.name for run in one] == [run.name for run in other]
    assert len(one) == 4
    assert list(verification(folder).run()) == []
    for resumed, undisturbed in zip(one, other, strict=True):
        assert resumed.status().state == "done"
        assert_same_run(resumed, undisturbed)
