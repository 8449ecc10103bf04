"""When the process that trains a run counts as gone."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from superdyn.runs.process import is_alive, process_began, this_process
from superdyn.runs.status import STALE_AFTER_SECONDS, Status

HERE = Status("running", 5, 10, "ab", "run")


def stamped(**changes) -> Status:
    return replace(Status(**HERE.stamped()), **changes)


def test_a_process_number_that_is_used_again_is_another_process() -> None:
    pid, began = this_process()
    assert is_alive(pid, began)
    assert is_alive(pid, "")
    assert not is_alive(pid, began + "1")
    child = subprocess.Popen([sys.executable, "-c", ""])
    began = process_began(child.pid)
    child.wait()
    assert not is_alive(child.pid, began)


def test_a_process_that_has_ended_and_was_not_waited_for_is_gone() -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    began = process_began(child.pid)
    while Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
        time.sleep(0.01)
    assert not is_alive(child.pid, began)
    child.wait()


@pytest.mark.parametrize("hours", [-1.0, 1.0], ids=["forwards", "backwards"])
def test_a_clock_that_jumps_changes_nothing_on_the_same_host(hours: float) -> None:
    assert stamped(heartbeat=time.time() + 3600 * hours).is_live()


def test_a_heartbeat_from_far_in_the_future_keeps_no_run_of_another_host_alive() -> None:
    now = time.time()
    assert stamped(host="elsewhere", heartbeat=now + STALE_AFTER_SECONDS / 2).is_live()
    assert stamped(host="elsewhere", heartbeat=now + STALE_AFTER_SECONDS + 60).is_stale()


def test_a_status_knows_its_writer() -> None:
    assert stamped().is_ours()
    assert not stamped(pid=os.getppid()).is_ours()
    assert not stamped(host=socket.gethostname() + "x").is_ours()
