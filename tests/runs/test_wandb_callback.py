"""W&B as a view: one offline run per member, read back from its files; folders that do without it."""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_pack import N_FEATURES, TinyPack, fit, make_config

from superdyn.runs.files_callback import RunFiles
from superdyn.runs.folder import RunFolder
from superdyn.runs.wandb_callback import WandbRuns
from superdyn.training.measurement import Measurement

pytestmark = pytest.mark.filterwarnings(
    # Lightning 2.6 asks torch about tree leaves in a way that torch 2.13 deprecates.
    "ignore:`isinstance.treespec, LeafSpec.`:FutureWarning"
)


def last_slope(t: np.ndarray, loss: np.ndarray) -> tuple[float, float, float, float]:
    if len(t) < 3:
        return (np.nan, np.nan, np.nan, np.nan)
    slope = -float(np.log(loss[-1] / loss[-2]) / np.log(t[-1] / t[-2]))
    return slope, slope, slope - 1, slope + 1


def train(root: Path, configs: list, resume_at: int = 0, fail_at: int | None = None) -> list[RunFolder]:
    folders = [RunFolder(root / f"seed={i}") for i in range(len(configs))]
    module = TinyPack(configs, fail_at)
    module.step = resume_at
    files = RunFiles(folders, lambda folder: folder.write_result({"alpha": 1.5}))
    fit(module, [files, WandbRuns(folders, configs, "my sweep", last_slope)])
    return folders


def read_back(root: Path) -> dict[str, list[dict[str, Any]]]:
    """Contents of all `.wandb` files by run folder, oldest first, read by a new process."""
    paths = sorted(root.glob("*/wandb/offline-run-*/*.wandb"))
    script = Path(__file__).with_name("read_wandb.py")
    output = subprocess.run([sys.executable, script, *paths], capture_output=True, check=True, text=True)
    runs: dict[str, list[dict[str, Any]]] = {}
    for path, content in json.loads(output.stdout).items():
        runs.setdefault(Path(path).parents[2].name, []).append(content)
    return runs


def test_every_member_is_one_run_with_its_rows_config_summary_and_files(tmp_path: Path) -> None:
    configs = [make_config(seed) for seed in range(3)]
    folders, runs = train(tmp_path, configs), read_back(tmp_path)
    assert sorted(runs) == ["seed=0", "seed=1", "seed=2"]
    for folder, config in zip(folders, configs, strict=True):
        (run,), curve = runs[folder.name], folder.curve()
        assert curve is not None
        shown = run["run"].pop("config")
        assert run["run"] == {
            "id": config.signature()[:32],
            "group": "my sweep",
            "name": folder.name,
            "project": "tiny",
            "tags": ["a tag"],
        }
        assert shown["data"]["n_features"] == N_FEATURES
        assert shown["signature"] == config.signature()
        for key in ("step", "lr_time", "loss", "overlap"):
            assert [row[key] for row in run["history"]] == curve[key].tolist()
        assert run["summary"]["state"] == "done"
        assert run["summary"]["final_loss"] == curve["loss"][-1]
        assert run["summary"]["fit"] == {"alpha": 1.5}
        assert {"curve.parquet", "spectrum.parquet", "result.json"} <= set(run["files"])
        assert run["exit_code"] == 0
        (copy,) = folder.path.glob("wandb/offline-run-*/files/curve.parquet")
        assert copy.read_bytes() == (folder.path / "curve.parquet").read_bytes()


def test_rows_carry_the_running_exponent_and_the_binned_spectrum(tmp_path: Path) -> None:
    (folder,) = train(tmp_path, [make_config()])
    ((run,),), spectrum = read_back(tmp_path).values(), folder.spectrum()
    edges, last = np.array(run["run"]["config"]["spectrum_bin_edges"]), run["history"][-1]
    assert spectrum is not None
    assert (edges[0], edges[-1]) == (1, N_FEATURES + 1)
    assert "exponent" not in run["history"][1]
    assert last["exponent_low"] == last["exponent"] - 1 == last["local_slope"] - 1
    bins = [last[f"feature_loss/bin_{j:02d}"] for j in range(len(edges) - 1)]
    means = [spectrum[1][-1, first - 1 : end - 1].mean() for first, end in itertools.pairwise(edges)]
    np.testing.assert_allclose(bins, means, rtol=1e-6)
    assert ["*", "step"] in run["metrics"]


class KnownLeast(TinyPack):
    """A pack of which the least possible loss is said to be known."""

    def _measure(self) -> Measurement:
        measured = super()._measure()
        least = {"least_loss": np.full(len(self.configs), 0.1), "excess_error": np.full(len(self.configs), 1e-3)}
        return replace(measured, measures=measured.measures | least)


def test_the_running_exponent_is_of_the_excess_where_the_least_loss_is_known(tmp_path: Path) -> None:
    folder, config = RunFolder(tmp_path / "seed=0"), make_config()
    fit(KnownLeast([config]), [RunFiles([folder]), WandbRuns([folder], [config], "my sweep", last_slope)])
    ((run,),), curve = read_back(tmp_path).values(), folder.curve()
    assert curve is not None
    last, expected = run["history"][-1], last_slope(curve["lr_time"], curve["loss"] - 0.1)
    assert last["local_slope"] == pytest.approx(expected[0])
    assert last["loss"] == curve["loss"][-1]
    assert (last["least_loss"], last["excess_error"]) == (0.1, 1e-3)


def test_a_diverged_member_is_a_failed_run_and_the_others_are_not(tmp_path: Path) -> None:
    folders = train(tmp_path, [make_config(0), make_config(1, lr=1e3)])
    ((good,), (bad,)), curve = read_back(tmp_path).values(), folders[1].curve()
    assert curve is not None
    assert (good["exit_code"], bad["exit_code"]) == (0, 1)
    assert bad["summary"]["state"] == "failed"
    assert [row["step"] for row in bad["history"]] == curve["step"].tolist()


def test_an_error_ends_every_run_as_failed(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="on fire"):
        train(tmp_path, [make_config(0), make_config(1)], fail_at=55)
    assert [run["exit_code"] for (run,) in read_back(tmp_path).values()] == [1, 1]


def test_a_resumed_run_continues_the_same_run(tmp_path: Path) -> None:
    train(tmp_path, [make_config()])
    train(tmp_path, [make_config()], resume_at=50)
    ((first, second),) = read_back(tmp_path).values()
    assert first["run"]["id"] == second["run"]["id"]
    assert [row["step"] for row in second["history"]] == [60, 70, 80, 90, 100]
    assert [row["_step"] for row in second["history"]] == [60, 70, 80, 90, 100]


def test_training_completes_where_wandb_cannot_start(tmp_path: Path) -> None:
    configs = [make_config(0), make_config(1)]
    (tmp_path / "seed=0").mkdir()
    (tmp_path / "seed=0" / "wandb").write_text("a file where W&B wants its folder")
    with pytest.warns(UserWarning, match="W&B no longer shows run seed=0") as caught:
        folders = train(tmp_path, configs)
    assert len([w for w in caught if "W&B" in str(w.message)]) == 1
    assert [f.status().state for f in folders] == ["done", "done"]  # pyright: ignore[reportOptionalMemberAccess]
    assert [f.result() for f in folders] == [{"alpha": 1.5}] * 2


def test_training_completes_where_wandb_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.warns(UserWarning, match="ModuleNotFoundError"):
        (folder,) = train(tmp_path, [make_config()])
    assert len(folder.curve()["step"]) == 11  # pyright: ignore[reportOptionalSubscript]
    assert not (folder.path / "wandb").exists()


def test_training_completes_where_wandb_breaks_midway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    log = wandb.Run.log

    def break_at_50(run: wandb.Run, data: dict, step: int, commit: bool) -> None:
        if step == 50 and run.name == "seed=0":
            raise OSError("disk full")
        log(run, data, step=step, commit=commit)

    monkeypatch.setattr(wandb.Run, "log", break_at_50)
    with pytest.warns(UserWarning, match="run seed=0, whose files go on: OSError: disk full"):
        folders = train(tmp_path, [make_config(0), make_config(1)])
    assert [len(f.curve()["step"]) for f in folders] == [11, 11]  # pyright: ignore[reportOptionalSubscript]
    (broken,), (whole,) = read_back(tmp_path).values()
    assert [row["step"] for row in whole["history"]] == list(range(0, 101, 10))
    assert [row["step"] for row in broken["history"]] == list(range(0, 50, 10))


def test_wandb_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(tmp_path, [make_config()])
    captured = capfd.readouterr()
    assert "wandb" not in captured.out + captured.err


def test_nothing_of_the_environment_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_TOKEN", "a-secret-token-of-mine")
    train(tmp_path, [make_config()])
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert not any(b"a-secret-token-of-mine" in content for content in written)
    assert os.environ["MY_TOKEN"] == "a-secret-token-of-mine"


def test_relative_folders_are_those_of_this_process_wherever_the_service_of_wandb_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(tmp_path / "first", [make_config(0)])  # starts the service, if no test has
    monkeypatch.chdir(tmp_path)
    train(Path("second"), [make_config(1)])
    assert len(list((tmp_path / "second").glob("seed=0/wandb/offline-run-*/*.wandb"))) == 1
