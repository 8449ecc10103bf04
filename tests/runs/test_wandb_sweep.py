"""A real sweep in W&B: one offline run per point, which shows what the point's files hold."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_wandb_callback import read_back

from superdyn.hydra_app import train
from superdyn.runs.sweep_folder import run_folders

GRID = ["data.n_features=16,24", "seed=0,1"]
TINY = ["data.batch_size=8", "data.eval_size=64", "trainer.max_steps=200", "trainer.progress=false"]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """(run folders by name, W&B runs by folder name) of two packs of two points."""
    folder = tmp_path_factory.mktemp("view") / "my_sweep"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_MODE", raising=False)
        outcome = train(["-m", *GRID, *TINY, "logger=wandb", f"hydra.sweep.dir={folder}"])
    assert outcome is not None
    assert outcome.done == 4
    return {run.name: run for run in run_folders(folder)}, read_back(folder)


def test_every_point_is_exactly_one_offline_run(sweep):
    folders, shown = sweep
    assert sorted(shown) == sorted(folders)
    for name, folder in folders.items():
        (run,) = shown[name]
        about = run["run"]
        assert (about["id"], about["group"], about["name"]) == (folder.status().signature[:32], "my_sweep", name)
        assert about["config"]["data"]["n_features"] == folder.config()["data"]["n_features"]
        assert run["exit_code"] == 0


def test_every_measurement_is_a_row_with_the_values_of_the_curve(sweep):
    folders, shown = sweep
    for name, folder in folders.items():
        (run,) = shown[name]
        assert ["*", "step"] in run["metrics"]
        for column, values in folder.curve().items():
            np.testing.assert_array_equal([row[column] for row in run["history"]], values, err_msg=column)
        assert [row["_step"] for row in run["history"]] == folder.curve()["step"].tolist()


def test_the_summary_holds_the_fit_and_the_files_are_attached(sweep):
    folders, shown = sweep
    for name, folder in folders.items():
        (run,) = shown[name]
        assert run["summary"]["state"] == "done"
        assert run["summary"]["fit"] == folder.result()
        assert {"curve.parquet", "spectrum.parquet", "result.json"} <= set(run["files"])
        (copy,) = folder.path.glob("wandb/offline-run-*/files/spectrum.parquet")
        assert copy.read_bytes() == (folder.path / "spectrum.parquet").read_bytes()


def test_without_a_logger_there_is_no_trace_of_wandb(tmp_path):
    outcome = train(["-m", *GRID, *TINY, "logger=none", f"hydra.sweep.dir={tmp_path / 'quiet'}"])
    assert outcome is not None
    assert outcome.done == 4
    assert not list(tmp_path.rglob("wandb*"))


@pytest.mark.slow
def test_a_server_that_cannot_be_reached_costs_seconds_and_no_row(tmp_path, monkeypatch):
    for key, value in {"MODE": "online", "API_KEY": "0" * 40, "BASE_URL": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(f"WANDB_{key}", value)
    command = [str(Path(sys.executable).with_name("superdyn")), "train", "-m", *GRID, *TINY, "logger=wandb"]
    done = subprocess.run([*command, f"hydra.sweep.dir={tmp_path / 'far'}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("W&B cannot be used online") == 1
    assert "wandb sync" in done.stderr
    shown = read_back(tmp_path / "far")
    for run in run_folders(tmp_path / "far"):
        (view,) = shown[run.name]
        assert len(view["history"]) == len(run.curve()["step"])  # pyright: ignore[reportOptionalSubscript]
