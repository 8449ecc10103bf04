"""Runs over two nodes of a SLURM: ranks that srun starts, and the jobs of a sweep.

The nodes are two daemons of `scripts/slurm` on this machine. What a job loses by any signal ends with the bits of a run
that nobody disturbed.
"""

import os
import signal
import subprocess
import tempfile

import numpy as np
import pytest
from sweeps.command import PATIENCE_SECONDS, SUPERDYN, n_in_training, statuses, wait_until
from sweeps.test_machines import LANGUAGE, SMALL, alone, curve
from sweeps.test_slurm import SCRIPT, is_over, jobs_of, on_slurm, shown
from training.test_packs import assert_same_run

from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_folder import run_folders

RANKS = ["trainer.devices=2", "trainer.num_nodes=2", "trainer.accelerator=cpu"]
SWEEP = [*LANGUAGE, "trainer=fsdp", *RANKS, "trainer.checkpoint_minutes=0.0001", "trainer.max_steps=300"]


@pytest.fixture(scope="module")
def slurm():
    """A SLURM of two nodes, for the programs that the tests start."""
    folder = tempfile.mkdtemp(prefix="superdyn-slurm-")  # short, for the path of a socket
    environment = {**os.environ, "SUPERDYN_SLURM": folder}
    try:
        said = subprocess.run([SCRIPT, "start", "2"], env=environment, check=True, capture_output=True, text=True)
        os.environ["SLURM_CONF"] = said.stdout.strip().partition("=")[2]
        yield
    finally:
        os.environ.pop("SLURM_CONF", None)
        subprocess.run([SCRIPT, "stop"], env=environment, check=True)


def launch(folder, *overrides):
    """The launching process of a sweep whose jobs are of two nodes."""
    command = [SUPERDYN, "train", "-m", *SWEEP, "launcher=slurm", *overrides, f"hydra.sweep.dir={folder}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(process):
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, out


@pytest.fixture(scope="module")
def whole(slurm, tmp_path_factory):
    """The run of a sweep of one that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    finish(launch(folder, "seed=0"))
    (job,) = jobs_of(folder)
    assert "NumNodes=2" in shown(job)
    return only_run(folder)


def only_run(sweep_dir):
    (folder,) = run_folders(sweep_dir)
    return folder


@on_slurm
def test_ranks_that_srun_starts_on_two_nodes_train_as_one_process(slurm, tmp_path):
    double = [*SMALL, "trainer.precision=64-true", "trainer.max_steps=100"]
    command = ["srun", "--nodes", "2", "--ntasks-per-node", "2", SUPERDYN, "train", "trainer=ddp", *RANKS, *double]
    subprocess.run([*command, f"hydra.run.dir={tmp_path / 'run'}"], check=True)
    one = alone(tmp_path / "alone", double)
    np.testing.assert_allclose(curve(RunFolder(tmp_path / "run"))["loss"], curve(one)["loss"], rtol=1e-6)


@on_slurm
def test_a_sweep_of_jobs_over_two_nodes_trains_as_one_process(slurm, whole, tmp_path):
    one = alone(tmp_path / "alone", [*LANGUAGE, "trainer.max_steps=300"])
    np.testing.assert_allclose(curve(whole)["loss"], curve(one)["loss"], rtol=1e-5)
    assert [path.name for path in sorted(whole.checkpoints.glob("step-0000000300.*"))] == [
        f"step-0000000300.{rank}-of-4.pt" for rank in range(1, 5)
    ]


@on_slurm
@pytest.mark.parametrize("ending", ["its time ends", "scancel", "a rank is killed"])
def test_a_job_over_two_nodes_that_is_ended_goes_on_to_the_same_bits(ending, slurm, whole, tmp_path):
    process = launch(tmp_path, "seed=0")
    wait_until(lambda: n_in_training(tmp_path) > 0)
    (job,) = jobs_of(tmp_path)
    if ending == "its time ends":
        subprocess.run(["scancel", "--signal=USR2", job], check=True)
    elif ending == "scancel":
        subprocess.run(["scancel", job], check=True)
        wait_until(lambda: is_over(job))
        assert [status["state"] for status in statuses(tmp_path)] == ["interrupted"]
    else:
        os.kill(statuses(tmp_path)[0]["pid"], signal.SIGKILL)
    finish(process)
    assert len(jobs_of(tmp_path)) == (1 if ending == "its time ends" else 2)
    assert_same_run(only_run(tmp_path), whole)
