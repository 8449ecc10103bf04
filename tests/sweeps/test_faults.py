"""Faults of memory, device and disk are not a run's own: nothing is lost, and the same command finishes the sweep."""

import errno
import os
import shutil
import subprocess
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sweeps.faulty import FAULTY
from training.test_packs import assert_same_run

from superdyn.config import ConfigError, RunConfig
from superdyn.runs.checkpoints import checkpoint_steps
from superdyn.runs.faults import fault_of
from superdyn.runs.sweep_folder import run_folders
from superdyn.sweeps.packing import loaded, make_packs
from superdyn.sweeps.points import Point

GRID = ["seed=0,1,2,3", "trainer.max_steps=40", "optimizer.lr=0.05"]


def states(outcome):
    return [run.status().state for run in run_folders(outcome.sweep_dir)]  # pyright: ignore[reportOptionalMemberAccess]


def assert_same_sweep(one, other):
    runs, references = list(run_folders(one)), list(run_folders(other))
    assert [run.name for run in runs] == [run.name for run in references] != []
    assert {run.status().state for run in runs} == {"done"}  # pyright: ignore[reportOptionalMemberAccess]
    for run, reference in zip(runs, references, strict=True):
        assert_same_run(run, reference)


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "storage"),
        (PermissionError(errno.EACCES, "Permission denied"), "storage"),
        (FileNotFoundError(errno.ENOENT, "No such file"), "run"),
        (MemoryError(), "memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), "memory"),
        (torch.AcceleratorError("CUDA error: device-side assert"), "device"),
        (RuntimeError("shapes differ"), "run"),
    ],
)
def test_an_error_says_whose_it_is(error, fault):
    assert fault_of(error) == fault


def test_the_cause_of_an_error_counts():
    error = RuntimeError("could not write")
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    assert fault_of(error) == "storage"


def test_the_system_itself_running_out_of_memory_is_a_memory_fault():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**58)
    assert fault_of(caught.value) == "memory"
    with pytest.raises(MemoryError) as caught:
        np.empty(2**58)
    assert fault_of(caught.value) == "memory"


def test_a_pack_that_does_not_fit_is_tried_in_halves(sweep, faults):
    (faults / "memory").touch()
    with pytest.warns(UserWarning, match="4 runs do not fit in memory and are retried in halves"):
        outcome = sweep(*GRID, *FAULTY)
    assert (outcome.done, outcome.exit_code) == (4, 0)
    assert (faults / "trained").read_text().split() == ["0", "1", "2", "3", "0", "1", "2", "3"]


def test_a_lost_device_stops_the_sweep_and_fails_no_run(sweep, faults):
    (faults / "device").touch()
    outcome = sweep(*GRID, *FAULTY)
    assert outcome.exit_code == 1
    assert "the device is lost" in outcome.summary()
    assert states(outcome) == ["interrupted"] * 4
    again = sweep(*GRID, *FAULTY)
    assert (again.done, again.exit_code) == (4, 0)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def remount(folder, option):
    subprocess.run(["mount", "-o", f"remount,{option}", folder], check=True)


FILLING = ["seed=range(8)", "optimizer=sgd,adam", "trainer.max_steps=300", "trainer.checkpoint_minutes=0.0001"]


def test_a_full_disk_stops_the_sweep_and_loses_nothing(sweep, small_disk, tmp_path):
    outcome = sweep(*FILLING, f"hydra.sweep.dir={small_disk}/sweep")
    assert "No space left on device" in outcome.summary()
    assert (outcome.exit_code, outcome.failed) == (1, ())
    remount(small_disk, "size=20m")
    again = sweep(*FILLING, f"hydra.sweep.dir={small_disk}/sweep")
    assert (again.done, again.exit_code) == (16, 0)
    whole = sweep(*FILLING, f"hydra.sweep.dir={tmp_path}/whole")
    assert_same_sweep(again.sweep_dir, whole.sweep_dir)


def test_a_read_only_folder_is_refused_in_one_sentence(sweep, small_disk):
    remount(small_disk, "ro")
    with pytest.raises(ConfigError, match=r"hydra.sweep.dir='.*': cannot be written \(Read-only file system\)"):
        sweep(*GRID, f"hydra.sweep.dir={small_disk}/sweep")


@pytest.fixture
def interrupted(sweep, faults):
    """A sweep whose device went away in the second of two packs, with checkpoints of the first."""
    outcome = sweep(*FILLING[1:], "seed=0,1", "name=interrupted")
    for run in run_folders(outcome.sweep_dir):
        assert len(checkpoint_steps(run.checkpoints)) == 2
        run.write_status(_as_interrupted(run))
    return outcome.sweep_dir


def _as_interrupted(run):
    return replace(run.status(), state="interrupted")


def _cut(path):
    os.truncate(path, path.stat().st_size // 2)


@pytest.mark.parametrize("damaged", ["checkpoint", "curve.parquet", "spectrum.parquet", "status.json"])
def test_a_file_cut_short_costs_steps_and_no_bits(damaged, sweep, interrupted):
    first, *_ = run_folders(interrupted)
    before = shutil.copytree(interrupted, interrupted.with_name("before"))
    newest = checkpoint_steps(first.checkpoints)[-1]
    _cut(first.checkpoints / f"step-{newest:010d}.pt" if damaged == "checkpoint" else first.path / damaged)
    if damaged == "status.json":
        again = sweep(*FILLING[1:], "seed=0,1", "name=interrupted")
    else:
        with pytest.warns(UserWarning, match=r"cannot be read"):
            again = sweep(*FILLING[1:], "seed=0,1", "name=interrupted")
    assert (again.done, again.exit_code) == (4, 0)
    assert_same_sweep(interrupted, before)


@pytest.mark.parametrize("altered", ["checkpoint", "spectrum.parquet"])
def test_a_flipped_bit_costs_steps_and_no_bits(altered, sweep, interrupted):
    """Readers take the file as before: only its hash tells."""
    first, *_ = run_folders(interrupted)
    before = shutil.copytree(interrupted, interrupted.with_name("before"))
    newest = checkpoint_steps(first.checkpoints)[-1]
    path = first.checkpoints / f"step-{newest:010d}.pt" if altered == "checkpoint" else first.path / altered
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.warns(UserWarning, match=r"cannot be read.*altered: its SHA-256"):
        again = sweep(*FILLING[1:], "seed=0,1", "name=interrupted")
    assert (again.done, again.exit_code) == (4, 0)
    assert_same_sweep(interrupted, before)


def test_a_run_that_went_back_to_an_older_checkpoint_is_not_done_before_its_curve_is(sweep, tmp_path):
    """One member was killed before its last checkpoint, so the pack goes back to the one before."""
    grid = [*FILLING[2:], "seed=0,1", "launcher.max_pack_size=2", "name=back"]
    folder = sweep(*grid).sweep_dir
    whole = shutil.copytree(folder, tmp_path / "whole")
    first, second = run_folders(folder)
    (second.checkpoints / f"step-{300:010d}.pt").unlink()
    for run in (first, second):
        run.write_status(_as_interrupted(run))
    (earlier,) = checkpoint_steps(second.checkpoints)
    assert earlier in checkpoint_steps(first.checkpoints)
    configs = [RunConfig.from_mapping(run.config()) for run in (first, second)]  # pyright: ignore[reportArgumentType]
    (pack,) = make_packs([Point((), c, run) for c, run in zip(configs, (first, second), strict=True)])
    (part,) = loaded(pack)
    assert part.start_step == earlier
    assert checkpoint_steps(first.checkpoints)[-1] == earlier
    assert sweep(*grid).done == 2
    assert_same_sweep(folder, whole)


def test_a_curve_that_lacks_rows_is_not_taken_for_whole(sweep, interrupted):
    before = shutil.copytree(interrupted, interrupted.with_name("before"))
    first, *_ = run_folders(interrupted)
    curve: Any = first.curve()
    steps, loss = first.spectrum()  # pyright: ignore[reportGeneralTypeIssues]
    first.write_curve({name: column[:-5] for name, column in curve.items()})
    first.write_spectrum(steps[:-5], loss[:-5])
    with pytest.warns(UserWarning, match="the curve lacks rows; the run restarts from step 0"):
        again = sweep(*FILLING[1:], "seed=0,1", "name=interrupted")
    assert again.done == 4
    assert_same_sweep(interrupted, before)


def test_a_damaged_list_of_points_is_made_anew(sweep):
    outcome = sweep("seed=0,1")
    _cut(outcome.sweep_dir / "sweep.json")
    with pytest.warns(UserWarning, match=r"sweep.json cannot be read"):
        again = sweep("seed=0,1,2")
    assert (again.done, again.skipped) == (3, 2)
