"""A run on two ranks that is stopped or killed goes on where it was, and ends with the bits of one left in peace.

Real processes of the installed command, which starts its ranks by itself.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from sweeps.command import SUPERDYN
from training.test_packs import assert_same_run

from superdyn.runs.folder import RunFolder

MAX_STEPS = 1600
OVERRIDES = [
    "trainer=ddp",
    "trainer.devices=2",
    "trainer.accelerator=cpu",
    "logger=none",
    "data.n_features=16",
    "data.batch_size=8",
    "data.eval_size=512",
    "model.activation=relu",
    "optimizer=adam",
    f"trainer.max_steps={MAX_STEPS}",
    "trainer.checkpoint_minutes=0.0001",
    "trainer.chunk_steps=8",
]
PATIENCE_SECONDS = 300.0


def start(folder):
    command = [SUPERDYN, "train", *OVERRIDES, f"hydra.run.dir={folder}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def status(folder):
    path = folder / "status.json"
    return json.loads(path.read_text()) if path.exists() else {"state": "missing", "step": 0}


def wait_until_in_training(folder):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while status(folder)["step"] == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def other_rank(pid):
    """The process that has the same parent as rank 0, which is `pid`."""
    parent = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    (other,) = (int(c) for c in Path(f"/proc/{parent}/task/{parent}/children").read_text().split() if int(c) != pid)
    return other


STOPS = {
    "SIGTERM": (lambda process, pid: process.send_signal(signal.SIGTERM), 143, "interrupted"),
    "SIGINT": (lambda process, pid: process.send_signal(signal.SIGINT), 130, "interrupted"),
    "SIGTERM to one rank": (lambda process, pid: os.kill(other_rank(pid), signal.SIGTERM), 143, "interrupted"),
    "SIGKILL of one rank": (lambda process, pid: os.kill(other_rank(pid), signal.SIGKILL), 1, "interrupted"),
    "SIGKILL of the command": (lambda process, pid: process.kill(), -9, "interrupted"),
}
"""What is done to a run (its command, the process of rank 0), the exit code of the command, and the state it leaves."""


@pytest.mark.slow
def test_sigterm_ends_both_ranks_after_the_same_chunk(tmp_path):
    process = start(tmp_path / "run")
    wait_until_in_training(tmp_path / "run")
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 143
    assert "Traceback" not in out
    assert status(tmp_path / "run")["state"] == "interrupted"
    assert 0 < status(tmp_path / "run")["step"] < MAX_STEPS


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    start(folder).communicate(timeout=PATIENCE_SECONDS)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", STOPS)
def test_the_same_command_goes_on_to_the_same_bits(name, tmp_path, whole):
    stop, code, state = STOPS[name]
    folder = tmp_path / "run"
    process = start(folder)
    wait_until_in_training(folder)
    stop(process, status(folder)["pid"])
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == code
    deadline = time.monotonic() + PATIENCE_SECONDS
    while status(folder)["state"] == "running":  # ranks hear of the end of their command through a pipe
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert status(folder)["state"] == state
    assert status(folder)["step"] < MAX_STEPS
    again = start(folder)
    again.communicate(timeout=PATIENCE_SECONDS)
    assert again.returncode == 0
    assert status(folder)["state"] == "done"
    assert_same_run(RunFolder(folder), RunFolder(whole))
