"""`launcher=local`: worker processes give the bits of this process, and what happens to one stays with it."""

import json
import sys
from pathlib import Path

import pytest
from sweeps.faulty import FOLDER
from training.test_packs import assert_same_run

from superdyn.config import ConfigError
from superdyn.runs.sweep_folder import run_folders
from superdyn.sweeps.executors import slots
from superdyn.sweeps.executors.slots import slots_of

GRID = ["seed=0,1,2,3", "optimizer=sgd,adam", "trainer.max_steps=40", "optimizer.lr=0.05"]
LOCAL = ["launcher=local", "launcher.slots=2", "launcher.stagger_seconds=0"]


def assert_same_sweep(one: Path, other: Path) -> None:
    ones, others = list(run_folders(one)), list(run_folders(other))
    assert [run.name for run in ones] == [run.name for run in others]
    for run, reference in zip(ones, others, strict=True):
        assert_same_run(run, reference)


@pytest.fixture
def faults(tmp_path, monkeypatch):
    """A folder in which a test prepares faults, and what the students note there."""
    folder = tmp_path / "faults"
    folder.mkdir()
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.setenv("SUPERDYN_PACKAGES", "sweeps")
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    return folder


FAULTY = ["model._target_=sweeps.faulty.FaultyStudent"]


def test_workers_share_a_sweep_and_give_the_bits_of_one_process(sweep, tmp_path):
    ours = sweep(*GRID, "name=ours")
    theirs = sweep(*GRID, *LOCAL, "name=theirs")
    assert (theirs.done, theirs.exit_code) == (8, 0)
    assert_same_sweep(ours.sweep_dir, theirs.sweep_dir)
    logs = [log.read_text() for log in theirs.sweep_dir.glob("launch/*/*.log")]
    assert len(logs) == 2


def test_a_worker_that_is_killed_is_replaced_and_its_pack_is_tried_in_smaller_ones(sweep, faults, capfd):
    (faults / "kill").touch()
    outcome = sweep("seed=0,1,2,3", *FAULTY, "launcher=local", "launcher.stagger_seconds=0")
    assert (outcome.done, outcome.exit_code) == (4, 0)
    assert "a worker died with 4 runs in training (signal SIGKILL)" in capfd.readouterr().out
    tasks = [json.loads(path.read_text()) for path in sorted(outcome.sweep_dir.glob("launch/*/*.json"))]
    assert [task["pack_limit"] for task in tasks] == [None, 2]


@pytest.mark.slow
def test_a_run_whose_workers_keep_dying_fails_with_the_reason(sweep, faults):
    (faults / "kill").touch()
    outcome = sweep("seed=0", *FAULTY, "launcher=local", "launcher.retries=0", "name=hopeless")
    assert outcome.failed
    (run,) = run_folders(outcome.sweep_dir)
    assert "died 1 times, last with signal SIGKILL" in run.status().error  # pyright: ignore[reportOptionalMemberAccess]


@pytest.mark.slow
def test_a_device_that_disappears_gets_no_more_work(sweep, faults, capfd):
    (faults / "device").touch()
    outcome = sweep("seed=0,1,2,3", *FAULTY, *LOCAL)
    assert "is gone and gets no more work" in capfd.readouterr().out
    assert (outcome.done, outcome.exit_code) == (4, 0)


@pytest.mark.slow
def test_fail_fast_stops_at_the_first_failure(sweep):
    outcome = sweep("model.activation=linear", "optimizer.lr=1e12,0.1,0.2", "trainer.max_steps=20",
                    "launcher=local", "launcher.fail_fast=true", "launcher.max_pack_size=1")  # fmt: skip
    assert outcome.stopped is not None
    assert "fail_fast" in outcome.stopped
    assert outcome.exit_code == 1


def test_slots_share_the_cores(make_config):
    names = {slot.name for slot in slots_of(make_config(launcher__name="local", launcher__slots=3))}
    assert names == {"cpu:0/0", "cpu:0/1", "cpu:0/2"}
    (slot,) = slots_of(make_config(launcher__name="local"))
    assert int(slot.environment["OMP_NUM_THREADS"]) >= 1


def test_gpu_slots_see_their_own_device(make_config, monkeypatch):
    monkeypatch.setattr(slots.torch.cuda, "device_count", lambda: 4)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,3,5,7")
    config = make_config(trainer__accelerator="auto", launcher__name="local", launcher__slots=2, launcher__devices=3)
    seen = [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots_of(config)]
    assert seen == ["1", "3", "5", "1", "3", "5"]
    with pytest.raises(ConfigError, match=r"launcher.devices=9.*4 GPUs are visible"):
        slots_of(make_config(trainer__accelerator="auto", launcher__devices=9))
