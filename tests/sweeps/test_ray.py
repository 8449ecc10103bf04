"""`launcher=ray`: a ray that the launch starts on this machine, and one that it finds."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from sweeps.command import PATIENCE_SECONDS, SUPERDYN, n_in_training, statuses, wait_until
from training.test_packs import assert_same_run

from superdyn.cli import main
from superdyn.runs.sweep_folder import run_folders

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed: pip install 'superdyn[ray]'"),
]

TINY = ["logger=none", "data.n_features=16", "data.batch_size=8", "data.eval_size=64", "trainer.chunk_steps=16"]
LONG = [*TINY, "trainer.checkpoint_minutes=0.001", "trainer.max_steps=20000", "seed=0,1"]


def command(folder, *overrides):
    return [SUPERDYN, "train", "-m", *LONG, "launcher=ray", *overrides, f"hydra.sweep.dir={folder}"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a sweep that this process trained undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert main(["train", "-m", *LONG, "trainer.progress=false", f"hydra.sweep.dir={folder}"]) == 0
    return folder


def assert_same_sweep(one, other):
    assert {status["state"] for status in statuses(one)} == {"done"}
    assert [run.name for run in run_folders(one)] == [run.name for run in run_folders(other)]
    for run, reference in zip(run_folders(one), run_folders(other), strict=True):
        assert_same_run(run, reference)


def test_ctrl_c_saves_and_the_same_command_goes_on_to_the_same_bits(whole, tmp_path):
    process = subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: n_in_training(tmp_path) == 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130, out + err
    assert "stopped; resume with the same command" in out
    assert "Traceback" not in err
    assert {(status["state"], status["step"] > 0) for status in statuses(tmp_path)} == {("interrupted", True)}
    assert len(list((tmp_path / "launch").glob("*/*.json"))) == 2
    subprocess.run(command(tmp_path), check=True, timeout=PATIENCE_SECONDS)
    assert_same_sweep(tmp_path, whole)


def test_a_worker_that_is_killed_is_started_again(whole, tmp_path):
    process = subprocess.Popen(command(tmp_path), stdout=subprocess.PIPE, text=True)
    wait_until(lambda: n_in_training(tmp_path) == 2)
    os.kill(statuses(tmp_path)[0]["pid"], signal.SIGKILL)
    out, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, out
    assert "1 runs were left unfinished (exit code 137)" in out
    assert_same_sweep(tmp_path, whole)


def test_a_launch_that_is_killed_loses_nothing(whole, tmp_path):
    process = subprocess.Popen(command(tmp_path), stdout=subprocess.DEVNULL)
    wait_until(lambda: n_in_training(tmp_path) == 2)
    process.kill()
    process.wait()
    subprocess.run(command(tmp_path), check=True, timeout=PATIENCE_SECONDS)
    assert_same_sweep(tmp_path, whole)


def test_a_ray_that_runs_is_used_and_left_running(whole, tmp_path):
    ray = Path(sys.executable).with_name("ray")
    start = ["start", "--head", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats"]
    subprocess.run([ray, *start], check=True, capture_output=True)
    try:
        subprocess.run(command(tmp_path), check=True, timeout=PATIENCE_SECONDS)
        joins_one_that_runs = "import ray; ray.init(address='auto', log_to_driver=False)"
        subprocess.run([sys.executable, "-c", joins_one_that_runs], check=True, capture_output=True)
    finally:
        subprocess.run([ray, "stop"], check=True, capture_output=True)
    assert_same_sweep(tmp_path, whole)


def test_what_no_node_can_hold_is_refused_in_one_sentence(tmp_path):
    refused = subprocess.run(command(tmp_path, "launcher.gpus=64"), capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "a task asks for 1 CPU, 64 GPU and the nodes of this ray have at most" in refused.stderr


def test_an_address_where_nobody_listens_is_refused_in_one_sentence(tmp_path):
    refused = subprocess.run(
        command(tmp_path, "launcher.address=127.0.0.1:1"), capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert "launcher.address='127.0.0.1:1': nothing answers there" in refused.stderr
