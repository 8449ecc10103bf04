"""`launcher=local`: worker processes give the bits of this process, and what happens to one stays with it."""

import json
import signal
import subprocess
import time

import pytest
from sweeps.command import SUPERDYN
from sweeps.conftest import TINY
from sweeps.faulty import FAULTY
from sweeps.test_faults import assert_same_sweep

from superdyn.config import ConfigError
from superdyn.runs.folder import RunFolder
from superdyn.runs.process import is_alive
from superdyn.runs.sweep_folder import run_folders
from superdyn.sweeps.executors import slots
from superdyn.sweeps.executors.local import parts_of
from superdyn.sweeps.executors.slots import slots_of
from superdyn.sweeps.packing import count_pieces, split_groups
from superdyn.sweeps.points import Point

GRID = ["seed=0,1,2,3", "optimizer=sgd,adam", "trainer.max_steps=40", "optimizer.lr=0.05"]
LOCAL = ["launcher=local", "launcher.slots=2", "launcher.stagger_seconds=0"]


def test_workers_share_a_sweep_and_give_the_bits_of_one_process(sweep, tmp_path):
    ours = sweep(*GRID, "name=ours")
    theirs = sweep(*GRID, *LOCAL, "name=theirs")
    assert (theirs.done, theirs.exit_code) == (8, 0)
    assert_same_sweep(ours.sweep_dir, theirs.sweep_dir)
    logs = [log.read_text() for log in theirs.sweep_dir.glob("launch/*/*.log")]
    assert len(logs) == 2


@pytest.mark.slow
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
    status = run.status()
    assert status is not None
    assert "not finished after 1 attempts, the last ended by signal SIGKILL" in (status.error or "")


@pytest.mark.slow
def test_the_death_of_a_group_counts_against_the_run_that_it_trained(sweep, faults, capfd):
    """Not against its slot: the other runs go on there."""
    (faults / "kill").touch()
    ranks = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "launcher.stagger_seconds=0"]
    outcome = sweep("seed=0,1", *FAULTY, *ranks, "launcher=local", "launcher.retries=0", "launcher.max_pack_size=1")
    assert "a worker died with 1 runs in training" in capfd.readouterr().out
    assert (outcome.done, len(outcome.failed)) == (1, 1)
    (failed,) = (run.status() for run in run_folders(outcome.sweep_dir) if run.name in outcome.failed)
    assert failed is not None
    assert "not finished after 1 attempts, the last ended by exit code 137" in (failed.error or "")


@pytest.mark.slow
def test_a_group_that_a_run_took_down_is_replaced_for_the_others(sweep, faults):
    """Once a run fails, the ranks that train it end: the next group takes the rest up."""
    (faults / "memory").touch()
    ranks = ["trainer=ddp", "trainer.devices=2", "trainer.accelerator=cpu", "launcher.stagger_seconds=0"]
    outcome = sweep("seed=0,1", *FAULTY, *ranks, "launcher=local", "launcher.max_pack_size=1")
    assert (outcome.done, len(outcome.failed)) == (1, 1)
    assert len(list(outcome.sweep_dir.glob("launch/*/*.json"))) == 2
    assert len(list(outcome.sweep_dir.glob("launch/*"))) == 1


@pytest.mark.slow
def test_a_device_that_disappears_gets_no_more_work(sweep, faults, capfd):
    (faults / "device").touch()
    outcome = sweep("seed=0,1,2,3", *FAULTY, *LOCAL)
    assert "is lost and gets no more work" in capfd.readouterr().out
    assert (outcome.done, outcome.exit_code) == (4, 0)


@pytest.mark.slow
def test_fail_fast_stops_at_the_first_failure(sweep):
    outcome = sweep("model.activation=linear", "optimizer.lr=1e12,0.1,0.2", "trainer.max_steps=20",
                    "launcher=local", "launcher.fail_fast=true", "launcher.max_pack_size=1")  # fmt: skip
    assert outcome.stopped is not None
    assert "fail_fast" in outcome.stopped
    assert outcome.exit_code == 1


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_when_the_launch_is_stopped_its_workers_save_and_end(number, code, sweep, tmp_path):
    grid = [*(text for text in TINY if "max_steps" not in text), *GRID[:2], "optimizer.lr=0.05"]
    grid += ["trainer.max_steps=3000", "trainer.checkpoint_minutes=0.001"]
    folder = tmp_path / "stopped"
    command = [str(SUPERDYN), "train", "-m", *grid, *LOCAL]
    process = subprocess.Popen([*command, f"hydra.sweep.dir={folder}"], stdout=subprocess.PIPE, text=True)
    while not any('"step": 0' not in path.read_text() for path in folder.glob("*/status.json")):
        time.sleep(0.1)
    workers = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True).stdout.split()
    process.send_signal(number)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == code
    assert number != signal.SIGINT or f"superdyn retry {folder}" in out
    while any(is_alive(int(worker), "") for worker in workers):
        time.sleep(0.1)
    states = {json.loads(path.read_text())["state"] for path in folder.glob("*/status.json")}
    assert "interrupted" in states <= {"interrupted", "done"}
    again = subprocess.run([*command, f"hydra.sweep.dir={folder}"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert_same_sweep(folder, sweep(*grid, "name=whole").sweep_dir)


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


def test_slots_of_one_gpu_cut_no_pack_that_has_another_shape_beside_it(make_config, monkeypatch):
    def slots_with(gpus, accelerator="auto", each=2):
        monkeypatch.setattr(slots, "_visible_gpus", lambda: [str(i) for i in range(gpus)])
        return slots_of(make_config(trainer__accelerator=accelerator, launcher__name="local", launcher__slots=each))

    assert parts_of([4, 4], slots_with(1)) == 1
    assert parts_of([4], slots_with(1)) == 2
    assert parts_of([1], slots_with(1)) == 1
    assert parts_of([6, 6], slots_with(3)) == 3
    assert parts_of([1, 8], slots_with(1, each=4)) == 3
    assert parts_of([1, 1, 1, 64], slots_with(4)) == 5
    assert parts_of([4, 4], slots_with(0, "cpu")) == 2


@pytest.mark.parametrize("sizes", [(1,), (4, 4), (1, 8), (7, 64)])
def test_pieces_are_counted_as_groups_are_split(sizes, make_config, tmp_path):
    configs = [make_config(seed=s, model__width=8 + i) for i, size in enumerate(sizes) for s in range(size)]
    points = [Point((), config, RunFolder(tmp_path)) for config in configs]
    for parts in range(1, 9):
        assert count_pieces(sizes, parts) == len(split_groups(points, parts))


@pytest.mark.slow
def test_a_failed_run_is_tried_again_by_one_of_the_workers(sweep, faults):
    grid = [*FAULTY, *LOCAL, "model.activation=linear", "optimizer.lr=1e12,2e12", "launcher.max_pack_size=1"]
    assert len(sweep(*grid).failed) == 2
    assert len(sweep(*grid, "sweep.retry=true").failed) == 2
    assert len((faults / "trained").read_text().split()) == 4
