"""`launcher=slurm`: through submitit on this machine in the default suite, on a real SLURM of one node when slow.

The SLURM is the one that `scripts/slurm` starts; a run that a job loses by any signal ends with the bits of one that
nobody disturbed.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import pytest
from sweeps.command import PATIENCE_SECONDS, SUPERDYN, n_in_training, statuses, wait_until
from sweeps.test_faults import assert_same_sweep

from superdyn.cli import main
from superdyn.config import ConfigError

SCRIPT = Path(__file__).parents[2] / "scripts" / "slurm"
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun")

TINY = ["logger=none", "data.n_features=16", "data.batch_size=8", "data.eval_size=64", "trainer.chunk_steps=16"]
LONG = [*TINY, "trainer.checkpoint_minutes=0.001", "trainer.max_steps=20000"]
"""Half a minute or so, in which a signal finds it at work."""


def missing_programs():
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    return [program for program in PROGRAMS if shutil.which(program, path=path) is None]


needs_slurm = pytest.mark.skipif(bool(missing_programs()), reason=f"SLURM: no {', '.join(missing_programs())} here")


def test_jobs_of_submitit_train_what_this_process_trains(sweep, tmp_path):
    grid = ["seed=0,1", "model=no_superposition"]
    outcome = sweep(*grid, "launcher=slurm", "launcher.cluster=local", "launcher.max_parallel=2", "hydra.sweep.dir=a")
    sweep(*grid, "hydra.sweep.dir=b")
    assert (outcome.done, outcome.exit_code) == (2, 0)
    assert_same_sweep(tmp_path / "a", tmp_path / "b")
    (jobs,) = (tmp_path / "a" / "launch").glob("*/jobs.json")
    assert len(json.loads(jobs.read_text())) == 2


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("launcher.cluster=slurm", "sbatch and srun are not installed here"),
        ("launcher.wait=false", "outlive the launch"),
        ("launcher.time_minutes=1", r"launcher\.grace_seconds=90: must be less"),
    ],
)
def test_a_launch_that_cannot_work_is_refused_in_one_sentence(override, sentence, sweep, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match=sentence):
        sweep("seed=0,1", "launcher=slurm", "launcher.cluster=local", override)


def on_slurm(test):
    return pytest.mark.slow(needs_slurm(test))


@pytest.fixture(scope="module")
def slurm():
    """A SLURM of this machine, for the programs that the tests start."""
    folder = tempfile.mkdtemp(prefix="superdyn-slurm-")  # short, for the path of a socket
    environment = {**os.environ, "SUPERDYN_SLURM": folder}
    try:
        said = subprocess.run([SCRIPT, "start"], env=environment, check=True, capture_output=True, text=True).stdout
        os.environ["SLURM_CONF"] = said.strip().partition("=")[2]
        yield
    finally:
        os.environ.pop("SLURM_CONF", None)
        subprocess.run([SCRIPT, "stop"], env=environment, check=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a sweep that this process trained undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(["train", "-m", *LONG, "trainer.progress=false", "seed=0,1", f"hydra.sweep.dir={folder}"]) == 0
    return folder


def launch(folder, *overrides):
    """The launching process, as a user starts it."""
    command = [SUPERDYN, "train", "-m", *LONG, "launcher=slurm", *overrides]
    return subprocess.Popen([*command, f"hydra.sweep.dir={folder}"], stdout=subprocess.PIPE, text=True)


def finish(process):
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    return process.returncode, out


def launch_into_training(folder, *overrides, runs=2):
    process = launch(folder, *overrides)
    wait_until(lambda: n_in_training(folder) == runs)
    return process


def jobs_of(folder):
    return [row["job"] for path in (folder / "launch").glob("*/jobs.json") for row in json.loads(path.read_text())]


def shown(job):
    return subprocess.run(["scontrol", "-o", "show", "job", job], check=True, capture_output=True, text=True).stdout


def is_over(job):
    return not any(f"JobState={state}" in shown(job) for state in ("RUNNING", "PENDING", "COMPLETING"))


@on_slurm
def test_a_job_array_trains_what_this_process_trains(slurm, whole, tmp_path):
    code, out = finish(launch(tmp_path, "seed=0,1", "launcher.max_parallel=2"))
    assert code == 0, out
    assert "2 jobs submitted" in out
    first, second = jobs_of(tmp_path)
    assert (first.partition("_")[2], second.partition("_")[2]) == ("0", "1")
    assert_same_sweep(tmp_path, whole)


@on_slurm
def test_cancelled_jobs_save_and_the_same_command_goes_on(slurm, whole, tmp_path):
    code, out = finish(launch(tmp_path, "seed=0,1", "launcher.wait=false"))
    assert code == 0
    (array,) = {job.partition("_")[0] for job in jobs_of(tmp_path)}
    assert f"scancel {array}" in out
    wait_until(lambda: n_in_training(tmp_path) == 2)
    subprocess.run(["scancel", array], check=True)
    wait_until(lambda: all(is_over(job) for job in jobs_of(tmp_path)))
    assert {(status["state"], status["step"] > 0) for status in statuses(tmp_path)} == {("interrupted", True)}
    assert finish(launch(tmp_path, "seed=0,1"))[0] == 0
    assert_same_sweep(tmp_path, whole)


@on_slurm
def test_a_job_that_is_told_that_its_time_ends_is_requeued_and_goes_on(slurm, whole, tmp_path):
    process = launch_into_training(tmp_path, "seed=0,1")
    for job in jobs_of(tmp_path):
        subprocess.run(["scancel", "--signal=USR2", job], check=True)
    assert finish(process)[0] == 0
    assert all("Restarts=1" in shown(job) for job in jobs_of(tmp_path))
    assert_same_sweep(tmp_path, whole)


@on_slurm
def test_a_job_longer_than_its_time_limit_is_requeued_by_slurm_s_own_signal(slurm, tmp_path):
    long = ["seed=0", "trainer.max_steps=80000", "data.n_features=256", "data.batch_size=256"]  # well over a minute
    limits = ["launcher.time_minutes=1", "launcher.grace_seconds=10"]
    assert finish(launch(tmp_path / "jobs", *long, *limits))[0] == 0
    (job,) = jobs_of(tmp_path / "jobs")
    assert int(shown(job).partition("Restarts=")[2].split()[0]) >= 1
    assert main(["train", "-m", *LONG, *long, "trainer.progress=false", f"hydra.sweep.dir={tmp_path / 'whole'}"]) == 0
    assert_same_sweep(tmp_path / "jobs", tmp_path / "whole")


@on_slurm
def test_a_job_that_has_timed_out_too_often_fails_with_the_log_s_path(slurm, tmp_path):
    process = launch(tmp_path, "seed=0", "launcher.max_timeouts=0", "launcher.retries=0", "launcher.time_minutes=2")
    wait_until(lambda: n_in_training(tmp_path) == 1)
    (job,) = jobs_of(tmp_path)
    subprocess.run(["scancel", "--signal=USR2", job], check=True)
    assert finish(process)[0] == 1
    (status,) = statuses(tmp_path)
    assert status["state"] == "failed"
    assert "not finished after 1 attempts" in status["error"]
    assert "timed-out too many times" in Path(status["error"].rpartition(" ")[2]).read_text()


@on_slurm
@pytest.mark.parametrize("partition", ["low", "grace"])
def test_preempted_jobs_make_room_and_go_on_afterwards(partition, slurm, whole, tmp_path):
    process = launch_into_training(tmp_path, "seed=0,1", f"launcher.partition={partition}")
    subprocess.run(["sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap=sleep 2"], check=True)
    assert finish(process)[0] == 0
    assert all("Restarts=1" in shown(job) for job in jobs_of(tmp_path))
    assert_same_sweep(tmp_path, whole)


@on_slurm
def test_a_step_that_gets_sigterm_exits_with_143_and_its_runs_are_submitted_again(slurm, whole, tmp_path):
    process = launch_into_training(tmp_path, "seed=0,1")
    first = jobs_of(tmp_path)
    for job in first:
        subprocess.run(["scancel", "--signal=TERM", job], check=True)
    wait_until(lambda: all(is_over(job) for job in first))
    assert all("ExitCode=143:0" in shown(job) for job in first)
    assert finish(process)[0] == 0
    assert len(jobs_of(tmp_path)) == 4
    assert_same_sweep(tmp_path, whole)


@on_slurm
def test_a_killed_worker_and_a_killed_launch_lose_nothing(slurm, whole, tmp_path):
    process = launch_into_training(tmp_path, "seed=0,1")
    process.kill()
    process.communicate()
    os.kill(statuses(tmp_path)[0]["pid"], signal.SIGKILL)
    assert finish(launch(tmp_path, "seed=0,1"))[0] == 0
    assert_same_sweep(tmp_path, whole)


@on_slurm
def test_points_that_are_still_queued_are_not_submitted_again(slurm, tmp_path):
    filler = subprocess.run(
        ["sbatch", "--parsable", "--exclusive", "--partition=high", "--output=/dev/null", "--wrap=sleep 600"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    short = ["launcher.wait=false", "trainer.max_steps=20"]
    assert finish(launch(tmp_path, *short, "seed=0,1"))[0] == 0
    queued = jobs_of(tmp_path)
    code, out = finish(launch(tmp_path, *short, "seed=0,1,2"))
    assert code == 0
    assert "2 jobs of an earlier launch are still queued" in out
    assert len(jobs_of(tmp_path)) == len(queued) + 1
    subprocess.run(["scancel", filler], check=True)
    assert finish(launch(tmp_path, "trainer.max_steps=20", "seed=0,1,2"))[0] == 0
    assert [status["state"] for status in statuses(tmp_path)] == ["done"] * 3


@on_slurm
def test_what_slurm_refuses_is_said_in_one_sentence(slurm, tmp_path, capsys):
    arguments = ["launcher=slurm", "launcher.partition=nowhere", f"hydra.sweep.dir={tmp_path}"]
    assert main(["train", "-m", *TINY, "seed=0,1", *arguments]) == 2
    assert "SLURM refuses the jobs (sbatch: error: invalid partition specified: nowhere" in capsys.readouterr().err
