"""What can be changed without measuring again: bins, frequencies, steps, learning-rate schedule, a view in W&B."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers", reason="the package transformers (extra llm) is not installed")

from evaluate.tiny import STEPS, V

from superdyn.analysis import load_curve, run_result
from superdyn.analysis.evaluated import load_bin_losses, load_bins
from superdyn.cli import main


@pytest.fixture
def again(measured, neox, tokens, tmp_path, capsys):
    """The finished evaluation in a folder of the test, and its command with more options."""
    out = tmp_path / "out"
    shutil.copytree(measured, out)

    def repeat(*options):
        command = ["evaluate", str(neox), str(out), "--tokens", str(tokens), "--context", "32", *map(str, options)]
        assert main(command) == 0
        assert "0 revisions measured" in capsys.readouterr().out
        return out

    return repeat


def test_other_bins(again):
    out = again("--bins", 4, "--rank-bins", 3)
    assert [load_bin_losses(out, kind)[1].shape for kind in ("occurrences", "rank")] == [
        (len(STEPS), 4),
        (len(STEPS), 3),
    ]


def test_frequencies_from_a_file(again, tmp_path):
    counts = np.arange(V)[::-1].astype(float)
    np.save(tmp_path / "counts.npy", counts)
    (tmp_path / "counts.csv").write_text("id,count\n" + "".join(f"{i},{c}\n" for i, c in enumerate(counts) if c))
    tables = [
        load_bins(again("--frequencies", tmp_path / name), "occurrences") for name in ("counts.npy", "counts.csv")
    ]
    assert tables[0].equals(tables[1])
    assert tables[0]["types"].sum() == V - 1
    assert tables[0]["share"][0] == pytest.approx(counts[: tables[0]["types"][0]].sum() / counts.sum())


def test_a_schedule_makes_lr_time_the_axis(again, tmp_path):
    (tmp_path / "lr.csv").write_text("step,lr\n0,0\n10,0.5\n100000,0.5\n")
    out = again("--lr-schedule", tmp_path / "lr.csv")
    curve = load_curve(out).set_index("step")
    assert curve["lr_time"][4] == pytest.approx(0.05 * (0 + 1 + 2 + 3))
    assert curve["lr_time"][192] == pytest.approx(0.05 * sum(range(10)) + 0.5 * 182)
    result = run_result(out, n_boot=2)
    assert result["axis"] == "lr_time"
    start, end = result["window"]
    assert start < end
    assert {start, end} <= set(curve["lr_time"][4:])  # none of which is a step
    assert not {start, end} & set(curve.index)


def test_other_steps(again):
    names = ",".join(f"step{step}" for step in STEPS)
    out = again("--revisions", names, "--steps", ",".join(str(10 * step) for step in STEPS))
    assert load_curve(out)["step"].tolist() == [10 * step for step in STEPS]


def test_wandb_shows_one_row_per_revision(again, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    out = again("--wandb", "evaluations")
    (path,) = out.glob("wandb/offline-run-*/*.wandb")
    script = Path(__file__).parents[1] / "runs" / "read_wandb.py"
    output = subprocess.run([sys.executable, script, path], capture_output=True, check=True, text=True).stdout
    (shown,) = json.loads(output).values()
    assert (shown["run"]["project"], shown["exit_code"]) == ("evaluations", 0)
    for column, values in load_curve(out).items():
        np.testing.assert_array_equal([row[column] for row in shown["history"]], values, err_msg=str(column))
    losses = load_bin_losses(out, "occurrences")[1]
    filled = np.flatnonzero(np.isfinite(losses[0]))
    assert {f"bins/loss_{i:02d}" for i in filled} == {key for key in shown["history"][0] if key.startswith("bins/")}
