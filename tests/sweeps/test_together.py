"""Two people start the same sweep in one folder: every run is trained once, and both end with all of it."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest
from sweeps.command import SUPERDYN
from sweeps.conftest import TINY
from sweeps.faulty import FAULTY

from superdyn.runs.files_callback import RunFiles
from superdyn.runs.process import process_began
from superdyn.runs.sweep_folder import run_folders
from superdyn.sweeps.launch import Launch


def command(*overrides: str) -> list[str]:
    tiny = [text for text in TINY if "max_steps" not in text]
    return [str(SUPERDYN), "train", "-m", *tiny, *overrides]


def test_two_launches_share_the_runs_and_wait_for_each_other(faults, tmp_path):
    grid = [*FAULTY, "seed=range(4)", "launcher.max_pack_size=1", "trainer.max_steps=1000",
            f"hydra.sweep.dir={tmp_path}/sweep"]  # fmt: skip
    processes = [
        subprocess.Popen(command(*grid), env=dict(os.environ), stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert sorted((faults / "trained").read_text().split()) == [str(seed) for seed in range(4)]
    assert all("4 done" in output for output in outputs)


def test_a_run_that_another_host_has_taken_over_is_left_to_it(make_config, train_together, monkeypatch):
    """This process slept for so long that another host took its run: it must not write into the folder any more."""
    hook = RunFiles.on_train_batch_start

    def taken_over(self, trainer, module, batch, batch_idx):
        if module.step == 16:
            (path,) = (folder.path / "status.json" for folder in self.folders if folder.config()["seed"] == 0)
            path.write_text(json.dumps(json.loads(path.read_text()) | {"host": "elsewhere", "step": 7}))
        hook(self, trainer, module, batch, batch_idx)

    monkeypatch.setattr(RunFiles, "on_train_batch_start", taken_over)
    monkeypatch.setattr(Launch, "live", lambda self: [])  # do not wait for that host
    configs = [make_config(seed=seed, trainer__checkpoint_minutes=1e-9, trainer__max_steps=60) for seed in range(2)]
    with pytest.warns(UserWarning, match=r"was taken over by process \d+ on elsewhere"):
        theirs, ours = train_together(configs)
    assert (theirs.status().host, theirs.status().step) == ("elsewhere", 7)
    assert ours.status().state == "done"


def test_a_launch_waits_for_a_run_in_training_elsewhere_and_takes_it_over_when_its_process_dies(sweep):
    outcome = sweep("seed=0,1")
    (first, _) = run_folders(outcome.sweep_dir)
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(2)"])
    status: Any = first.status()
    stamp = replace(status, state="running", step=1).stamped()
    (first.path / "status.json").write_text(json.dumps(stamp | {"pid": other.pid, "began": process_began(other.pid)}))
    again = sweep("seed=0,1")
    assert other.wait() == 0
    assert (again.done, again.skipped, again.exit_code) == (2, 1, 0)
