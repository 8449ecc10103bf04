"""A worker that is attended, a group of ranks among them, leaves no run behind that seems to be in training."""

import json
import os
import signal
import threading
import time
from dataclasses import asdict

import pytest

from superdyn.runs.folder import RunFolder
from superdyn.runs.status import Status
from superdyn.sweeps.workers.attended import WorkerRecord, attend, free_runs


def prepared(tmp_path, config):
    """The folder of a run and the file of the task to train it."""
    folder = RunFolder(tmp_path / "run")
    folder.prepare(config.to_mapping(), config.signature())
    task = tmp_path / "task.json"
    task.write_text(json.dumps({"sweep_dir": str(tmp_path), "folders": ["run"], "n_ranks": config.trainer.n_ranks}))
    return folder, task


def current(folder):
    status = folder.status()
    assert status is not None
    return status


@pytest.mark.slow
def test_runs_of_a_group_whose_first_rank_was_killed_are_free_at_once(tmp_path, make_config):
    ranks = {"trainer__strategy": "ddp", "trainer__devices": 2}
    folder, task = prepared(tmp_path, make_config(**ranks, trainer__max_steps=100_000))
    codes = []
    attending = threading.Thread(target=lambda: codes.append(attend(task, lambda: False, {})))
    attending.start()
    while (status := folder.status()) is None or status.state != "running":
        time.sleep(0.05)
    os.kill(status.pid, signal.SIGKILL)
    attending.join(timeout=120)
    assert codes == [128 + signal.SIGKILL]
    assert current(folder).state == "interrupted"


def test_runs_of_a_group_on_another_host_are_free_when_it_is_known_to_be_gone(tmp_path, make_config):
    folder, task = prepared(tmp_path, make_config())
    WorkerRecord("far", 17, "1").write(task)
    WorkerRecord("far", 18, "2").write(task, ".rank")
    status = Status("running", 7, 20, "", "run", heartbeat=time.time(), host="far", pid=18, began="2")
    (folder.path / "status.json").write_text(json.dumps(asdict(status)))
    assert current(folder).is_live()
    free_runs(task)
    assert current(folder).state == "interrupted"
