"""`superdyn fit` on CSV files: grouping, and one sentence for a file that will not do."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from superdyn.analysis import fit_power_law, fit_table

DATA = Path(__file__).parents[1] / "data"
T = np.geomspace(1, 1e4, 60)


def test_real_table_gives_a_row_per_run_and_metric():
    frame = fit_table(DATA / "olmo_eval_curves.csv", n_boot=5)
    assert len(frame) == 9
    assert frame.columns[:2].tolist() == ["run", "metric"]
    (short,) = np.flatnonzero(frame["alpha"].isna())
    assert "0.27 decades" in frame["note"].tolist()[short]


def test_small_numbers_group_and_measurements_do_not(tmp_path):
    rows = [{"step": t, "loss": 1 / t**0.5, "seed": seed, "lr_time": 0.1 * t} for seed in range(2) for t in T]
    pd.DataFrame(rows).to_csv(tmp_path / "curves.csv", index=False)
    frame = fit_table(tmp_path / "curves.csv", n_boot=5)
    assert frame["seed"].tolist() == [0, 1]
    assert "lr_time" not in frame
    assert frame["alpha"].tolist() == pytest.approx([0.5, 0.5], abs=1e-6)


def test_an_epoch_is_a_part_of_a_curve_and_no_curve_of_its_own(tmp_path):
    steps = np.arange(1, 401)
    pd.DataFrame({"step": steps, "loss": steps**-0.5, "epoch": steps // 100}).to_csv(tmp_path / "curve.csv")
    (row,) = fit_table(tmp_path / "curve.csv", n_boot=5).to_dict("records")
    assert row["window_end"] > 300


def test_plain_table_is_one_curve_and_equals_the_direct_fit(tmp_path):
    loss = np.exp(0.02 * np.random.default_rng(0).standard_normal(T.size)) / T
    pd.DataFrame({"step": T, "loss": loss}).to_csv(tmp_path / "curve.csv", index=False)
    (row,) = fit_table(tmp_path / "curve.csv", n_boot=20).to_dict("records")
    assert row["alpha"] == pytest.approx(fit_power_law(T, loss, n_boot=20).alpha, rel=1e-12)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"step,value\n1,2\n", "has no column loss"),
        (b"step,loss\n1,low\n2,high\n", "column loss of .* holds text such as 'low'"),
        (b"step,loss\n1,0.5\n2,n.a.\n3,0.2\n", "column loss of .* holds text such as 'n.a.'"),
        (b"step,loss\n", "has no row below its header"),
        (b"", "is empty"),
        (b"PK\0\0\x01", "is not text"),
        (b"step,loss\n1,0.5\n2,0.4,0.3\n", "Expected 2 fields in line 3, saw 3"),
    ],
)
def test_wrong_files_are_refused_with_one_sentence(tmp_path, content, message):
    (tmp_path / "file.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        fit_table(tmp_path / "file.csv")


def test_missing_path_is_refused(tmp_path):
    with pytest.raises(ValueError, match="does not exist"):
        fit_table(tmp_path / "nothing")
