"""`--dry-run` says what a launch would train, and trains nothing."""

import re

import pytest

from superdyn.cli import main
from superdyn.config import ConfigError
from superdyn.sweeps.plan import duration

GRID = ["seed=0,1,2", "data.n_features=16,24", "trainer.max_steps=50"]


def flags(folder, *overrides):
    return ["train", "-m", *GRID, "data.eval_size=64", "logger=none", *overrides, f"hydra.sweep.dir={folder}"]


def test_a_dry_run_counts_points_packs_parameters_and_steps(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*flags(tmp_path / "sweep"), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "6 points in" in out
    assert "0 done, 6 to train in 2 packs" in out
    rows = re.findall(r"^ *1 +3 +trained_embedding +(\d+) +(\d+) +(\d+) +50 ", out, re.MULTILINE)
    # W (K×N) and B (K×K) are trained.
    assert rows == [("16", "8", str(8 * 16 + 8 * 8)), ("24", "12", str(12 * 24 + 12 * 12))]
    assert "300 run-steps; about " in out
    assert not (tmp_path / "sweep").exists()


def test_a_dry_run_after_the_sweep_finds_nothing_to_do(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main([*flags(tmp_path / "sweep"), "trainer.progress=false"]) == 0
    assert main([*flags(tmp_path / "sweep"), "sweep.plan=true"]) == 0
    assert "6 done, 0 to train in 0 packs" in capsys.readouterr().out


def test_a_dry_run_of_a_single_run_leaves_no_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["train", "--dry-run", "data.n_features=16", "data.eval_size=64", "hydra.run.dir=one"]) == 0
    assert "1 to train in 1 packs" in capsys.readouterr().out
    assert not (tmp_path / "one").exists()


def test_failed_runs_are_planned_and_trained_again_on_request_only(tmp_path, sweep, capsys):
    diverging = ["model.activation=linear", "optimizer.lr=1e12", "seed=0,1", "trainer.max_steps=20"]
    first = sweep(*diverging)
    assert len(first.failed) == 2
    folder = f"hydra.sweep.dir={first.sweep_dir}"
    stamps = [path.stat().st_mtime_ns for path in sorted(first.sweep_dir.glob("*/status.json"))]
    assert len(sweep(*diverging, folder).failed) == 2
    assert [path.stat().st_mtime_ns for path in sorted(first.sweep_dir.glob("*/status.json"))] == stamps
    assert len(sweep(*diverging, folder, "sweep.retry=true").failed) == 2
    again = [path.stat().st_mtime_ns for path in sorted(first.sweep_dir.glob("*/status.json"))]
    assert all(new > old for new, old in zip(again, stamps, strict=True))


def test_retry_is_refused_a_value_that_is_no_yes_or_no(sweep):
    with pytest.raises(ConfigError, match=r"sweep\.retry"):
        sweep("sweep.retry=often")


@pytest.mark.parametrize(("seconds", "text"), [(0.42, "0.42 s"), (90.0, "1.5 min"), (7200 * 1.5, "3 h")])
def test_durations_are_readable(seconds, text):
    assert duration(seconds) == text
