"""A run is trained by one process at a time: who may take it, and when its owner counts as gone."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from superdyn.runs.folder import RunFolder
from superdyn.runs.ownership import take
from superdyn.runs.process import is_alive, process_began, this_process
from superdyn.runs.status import STALE_AFTER_SECONDS, Status

HERE = Status("running", 5, 10, "ab", "run")


def stamped(**changes) -> Status:
    return replace(Status(**HERE.stamped()), **changes)


def take_all(root: Path, names: list[str]) -> list[str]:
    return take(
        names,
        root,
        lambda name: RunFolder(root / name),
        lambda name, status: status is None or not status.is_live(),
        lambda name: HERE,
    )


def test_a_run_is_taken_once(tmp_path: Path) -> None:
    assert take_all(tmp_path, ["a", "b"]) == ["a", "b"]
    assert take_all(tmp_path, ["a", "b", "c"]) == ["c"]


def test_of_many_processes_each_run_is_taken_by_one(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from runs.test_ownership import take_all\n"
        "print(*take_all(Path(sys.argv[2]), [str(i) for i in range(30)])); sys.stdout.flush(); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parents[1]), str(tmp_path)]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(3)]
    taken = [process.stdout.readline().split() for process in processes]  # pyright: ignore[reportOptionalMemberAccess]
    for process in processes:
        process.communicate("")
    assert sorted(int(name) for names in taken for name in names) == list(range(30))


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
