"""The command line: what it refuses, in one sentence and with exit code 2, and what each verb prints."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from superdyn.analysis import fit_table
from superdyn.cli import main
from superdyn.doctor import doctor, exit_status

CURVES = Path(__file__).parent / "data" / "olmo_eval_curves.csv"

REFUSED = {
    "train data.nfeatures=3": ["data.nfeatures", "n_features"],
    "train nokey=3": ["nokey", "optimizer"],
    "train model.options.rank=3": ["model.options.rank", "+model.options.rank"],
    "train model=foo": ["model=foo", "trained_embedding"],
    "train experiment=foo": ["experiment=foo", "sequential", "--config-dir"],
    "train -m experiment=sequential,foo": ["experiment=foo", "sequential"],
    "train data.data_exponent=-1": ["data.data_exponent=-1", "0"],
    "train -m data.data_exponent=1,-1": ["data.data_exponent=-1", "0"],
    "train data.n_features=many": ["data.n_features='many'", "integer"],
    "train data.data_exponent=1,2": ["data.data_exponent=1,2", "-m"],
    "train seed=range(3)": ["seed=range(3): to sweep over several values add -m."],
    "train -m optimizer.lr=interval(0.1,1)": ["optimizer.lr=interval(0.1,1): a sweep is a grid of values"],
    "train -m seed=range(0) model.width=8,16": ["seed=range(0) model.width=8,16: sweeps over no value"],
    "train -m model.width=4 8": ["the overrides cannot be read", "joined by commas"],
    "train -m model.width=n/4": ["model.width='n/4'", "integer"],
    "train seed": ["seed: cannot be read", "KEY=VALUE"],
    "train -m name= seed=0,1": ["name=''", "at least 1 character"],
    "train model=language_model data.length=0": ["data.length=0: should be greater than or equal to 1."],
    "train model=language_model data.length=long": ["data.length='long': should be a valid integer."],
    "train model=no_superposition loss=population optimizer.lr=1e4": ["optimizer.lr=10000.0", "values below"],
    "train tier=huge": ["tier='huge'", "smoke, mini, full"],
    "train -m experiment=sequential tier=huge": ["tier='huge'", "smoke, mini, full"],
    "train +data.colour=red": ["data.colour='red'", "n_features"],
    "train +colour=red": ["colour='red'", "optimizer"],
    "train data.value_law=foo": ["data.value_law='foo'", "uniform"],
    "train data.value_law=foo.Bar": ["data.value_law='foo.Bar'", "foo"],
    "train model._target_=foo.Bar": ["model._target_='foo.Bar'", "foo"],
    "train model._target_=superdyn.models.student.Nope": ["model._target_", "Nope"],
    "train model._target_=superdyn.config.RunConfig": ["model._target_", "torch.nn.Module"],
    "train data.density=1000": ["data.density=1000", "data.clip=true"],
    "train trainer.devices=2": ["trainer.devices=2", "trainer=ddp trainer.devices=2", "launcher=local"],
    "train trainer=ddp trainer.devices=two": ["trainer.devices='two'", "integer"],
    "train trainer=ddp trainer.devices=2 trainer.num_nodes=2": ["trainer.num_nodes=2", "torchrun --nnodes 2", "srun"],
    "train trainer=ddp trainer.devices=3": ["data.batch_size=256", "multiple of 3"],
    "train trainer=ddp trainer.devices=2 model=no_superposition loss=population": [
        "trainer.devices=2",
        "loss=population",
    ],
    "train -m trainer=ddp trainer.devices=2 seed=0,1": ["trainer.devices=2", "launcher=local trainer=ddp"],
    "train model.width=128": ["model.width=128", "64"],
    "reproduce foo": ["claim='foo'", "universality"],
    "reproduce --tier huge": ["tier='huge'", "smoke, mini, full"],
    "status nowhere": ["nowhere"],
    "retry nowhere": ["nowhere"],
    "report nowhere": ["nowhere"],
    "fit nowhere": ["nowhere"],
    "status .": ["path='.' holds no run"],
    "status foreign.csv": ["foreign.csv"],
    "report foreign.csv": ["foreign.csv"],
    "fit foreign.csv": ["foreign.csv", "step", "loss"],
    "retry .": ["."],
    "report .": ["run"],
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Runs go to a folder of the test, and so does what `main` adds to the import path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "foreign.csv").write_text("time,price\n1,2\n3,4\n")
    return tmp_path


@pytest.mark.parametrize("command", REFUSED)
def test_wrong_input_is_refused_in_one_sentence(command, own_folder, capsys):
    assert main(command.split()) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith("superdyn: ")
    assert shown.err.count("\n") == 1
    for word in REFUSED[command]:
        assert word in shown.err
    assert not list(own_folder.glob("**/status.json"))


def test_a_gpu_that_is_not_there_is_refused(capsys):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    for command in (["trainer=gpu"], ["-m", "launcher=slurm", "launcher.cluster=local", "trainer=gpu"]):
        assert main(["train", *command]) == 2
        assert "trainer.accelerator=gpu" in capsys.readouterr().err


def test_jobs_of_a_cluster_may_have_a_gpu_where_the_login_node_has_none(own_folder, capsys):
    assert main(["train", "-m", "launcher=slurm", "trainer=gpu", "trainer.devices=64", "trainer.strategy=ddp",
                 "data.batch_size=64", "model.width=8,16", "--dry-run"]) == 0  # fmt: skip
    assert "2 to train in 2 packs" in capsys.readouterr().out


def test_a_refusal_of_the_installed_command_has_no_traceback(own_folder):
    command = [Path(sys.executable).with_name("superdyn"), "train", "data.nfeatures=3"]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=own_folder)
    assert (shown.returncode, shown.stdout) == (2, "")
    assert shown.stderr.count("\n") == 1


@pytest.fixture
def one_curve(own_folder):
    """The first run and metric of a real evaluation record, as a file of its own."""
    curves = pd.read_csv(CURVES)
    first = curves[(curves["run"] == curves["run"][0]) & (curves["metric"] == curves["metric"][0])]
    path = own_folder / "one.csv"
    first.to_csv(path, index=False)
    return path


def test_a_reader_that_has_left_is_no_error():
    command = [sys.executable, "-m", "superdyn.cli", "train", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_fit_prints_the_table_as_json(one_curve, capsys):
    assert main(["fit", str(one_curve), "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    (expected,) = json.loads(fit_table(one_curve).to_json(orient="records"))
    assert row == expected
    assert row["alpha_low"] < row["alpha"] < row["alpha_high"]


def test_fit_prints_a_table(one_curve, capsys):
    assert main(["fit", str(one_curve)]) == 0
    shown = capsys.readouterr().out
    fitted = fit_table(one_curve).iloc[0]
    assert f"{fitted['alpha']:.3f} [{fitted['alpha_low']:.3f}, {fitted['alpha_high']:.3f}]" in shown
    assert fitted["run"] in shown


def test_doctor_exits_with_the_worst_check(capsys, monkeypatch):
    assert main(["doctor"]) == exit_status(doctor())
    assert "torch" in capsys.readouterr().out
    monkeypatch.setenv("WANDB_MODE", "sideways")
    assert main(["doctor"]) == 1


def test_showing_the_configuration_trains_nothing(own_folder, capsys):
    before = sorted(own_folder.rglob("*"))
    assert main(["train", "--cfg", "job", "seed=7"]) == 0
    assert "seed: 7" in capsys.readouterr().out
    assert sorted(own_folder.rglob("*")) == before


def test_a_single_run_is_reported_with_its_folder_and_found_by_status(capsys):
    tiny = ["trainer.max_steps=2", "data.n_features=16", "data.eval_size=64", "logger=none", "hydra.run.dir=here"]
    assert main(["train", *tiny]) == 0
    assert "1 done (0 before), 0 failed, 1 runs in" in capsys.readouterr().out
    assert main(["status", "here"]) == 0
    assert "1 runs: 1 done" in capsys.readouterr().out
    assert os.listdir("here/checkpoints")
