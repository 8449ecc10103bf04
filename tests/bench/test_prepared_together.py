"""Competitors get ready at the same time, are measured one by one, and none outlives the command."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from itertools import combinations, pairwise
from pathlib import Path

import fake_suite
import pytest

from superdyn.bench.record import growing
from superdyn.bench.together import Limits, together
from superdyn.runs.process import is_alive, process_began

COMMAND = """
import types, fake_suite
from superdyn.bench import record
record.students, record.table = fake_suite, types.SimpleNamespace(table=lambda record: "")
record.main()
"""


@pytest.fixture(autouse=True)
def found_by_processes(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)


def measured(folder, rivals, deadline=math.inf, limits=None, **workload):
    group = [({"folder": str(folder), **workload}, rival) for rival in rivals]
    results = together("fake_suite", "steps_per_s", "cpu", group, deadline, limits)
    return [(rival, result) for (_, rival), result in results]


def notes(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def all_gone(folder):
    """Whether the processes that hung, and their children, end within a few seconds."""
    pids = [pid for both in notes(folder / "processes") for pid in both]
    assert pids
    end = time.monotonic() + 10
    while (alive := [pid for pid in pids if is_alive(pid, process_began(pid) or "gone")]) and time.monotonic() < end:
        time.sleep(0.05)
    return not alive


def test_a_group_gets_ready_at_once_and_is_measured_one_by_one(tmp_path):
    results = measured(tmp_path, ["sleeps"] * 3)
    assert [result["prepared_together"] for _, result in results] == [3, 3, 3]
    fastest = fake_suite.WHOLE_STEPS / fake_suite.SECONDS
    assert all(0 < result["steps_per_s"]["median"] <= fastest for _, result in results)
    spans = notes(tmp_path / "spans")
    ready, timed = ([(start, end) for _, p, start, end in spans if p == phase] for phase in ("preparing", "measuring"))
    assert len(ready) == len(timed) == 3
    assert all(max(a[0], b[0]) < min(a[1], b[1]) for a, b in combinations(ready, 2))
    assert max(end for _, end in ready) <= min(start for start, _ in timed)
    assert all(a[1] <= b[0] for a, b in pairwise(timed))


def test_what_fails_or_hangs_is_a_row_and_the_others_go_on(tmp_path):
    rivals = ["fails preparing", "hangs preparing", "fails measuring", "hangs measuring", "sleeps"]
    results = dict(measured(tmp_path, rivals, limits=Limits(ready=3.0, measured=1.0)))
    assert results["fails preparing"] == {"error": "RuntimeError: no luck while preparing"}
    assert results["hangs preparing"] == {"error": "not ready after 3 s"}
    assert results["fails measuring"] == {"error": "RuntimeError: no luck while measuring"}
    assert results["hangs measuring"] == {"error": "measuring took longer than 1 s"}
    assert results["sleeps"]["steps_per_s"]["n"] == 1
    assert all_gone(tmp_path)


def test_at_the_deadline_the_one_that_is_measured_ends_and_no_other_begins(tmp_path):
    deadline = time.monotonic() + 2
    results = measured(tmp_path, ["sleeps"] * 2, deadline, measures_until=deadline + 0.1)
    assert len(results) == 1
    assert [phase for _, phase, _, _ in notes(tmp_path / "spans")] == ["preparing", "preparing", "measuring"]
    assert measured(tmp_path, ["sleeps", "hangs preparing"], time.monotonic() + 1) == []
    assert all_gone(tmp_path)


def test_a_record_is_gone_on_with_what_failed(tmp_path, monkeypatch):
    monkeypatch.setenv("FAKE_FOLDER", str(tmp_path))
    monkeypatch.setenv("FAKE_RIVALS", "sleeps,fails measuring")
    stages = [json.dumps(grown) for grown in growing({"comparisons": []}, fake_suite, False, "cpu", math.inf)]
    counts = [len(json.loads(stage)["comparisons"][0]["results"]) for stage in stages]
    assert counts == [0, 1, 2]
    (tmp_path / "mended").touch()
    *_, last = growing(json.loads(stages[-1]), fake_suite, False, "cpu", math.inf)
    (entry,) = last["comparisons"]
    assert [result["steps_per_s"]["n"] for result in entry["results"].values()] == [1, 1]
    assert [rival for rival, phase, *_ in notes(tmp_path / "spans") if phase == "measuring"] == list(entry["results"])


def test_no_process_outlives_the_command_however_it_ends(tmp_path):
    parents = {}
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        folder = tmp_path / number.name
        folder.mkdir()
        environment = os.environ | {"FAKE_FOLDER": str(folder), "FAKE_RIVALS": "hangs preparing,hangs measuring"}
        parents[number] = subprocess.Popen(
            [sys.executable, "-c", COMMAND, "--out", str(folder / "bench")],
            env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # jobs in the background ignore it
        )  # fmt: skip
    try:
        for number, parent in parents.items():
            while not notes(tmp_path / number.name / "processes"):
                assert parent.poll() is None
                time.sleep(0.05)
            parent.send_signal(number)
            assert parent.wait(20) != 0
            assert all_gone(tmp_path / number.name)
    finally:
        for parent in parents.values():
            parent.kill()
            parent.wait()
