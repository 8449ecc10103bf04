"""The judge of the horizon: curves are fitted as if they had ended sooner; the longest training gives the verdict."""

import itertools

import numpy as np
import pandas as pd
import pytest

from superdyn.analysis.claims.universality_horizon import HORIZON, horizon_rows, with_horizons
from superdyn.config import ClaimConfig

CLAIM = ClaimConfig.model_validate({"statement": "", "source": "", "judge": "universality_horizon", "kind": "finding",
                                    "expected": 1.0, "tolerance": 0.15, "minutes": {}})  # fmt: skip


def rows(exponent):
    """The rows where the α of K = N/2 is `exponent(n, horizon, a, b)`, and that of the control is a."""
    keys = ["data.n_features", "model.width", HORIZON, "data.data_exponent", "data.importance_exponent", "seed"]
    points = [(n, k, *rest) for n, k in ((32, 16), (32, 32), (64, 32), (64, 64))
              for rest in itertools.product((100, 1600), (1.1, 2.0), (0.0, 0.5, 1.0), (0, 1))]  # fmt: skip
    frame = pd.DataFrame(points, columns=keys).assign(**{"model.train_encoder": True})
    alpha = [exponent(n, horizon, a, b) if k < n else a for n, k, horizon, a, b, _ in points]
    names = [f"{name}{end}" for name in ("alpha", "alpha_long") for end in ("", "_low", "_high")]
    frame = frame.assign(**dict.fromkeys(names, alpha))
    return list(horizon_rows("horizon", CLAIM, frame))


def verdicts(table, arm="K < N"):
    return [row.verdict for row in table if row.verdict != "reported" and row.condition.startswith(arm)]


def test_the_longest_training_of_the_largest_n_is_judged_and_the_control_takes_the_same_test():
    table = rows(lambda n, horizon, a, b: 0.9 if n == 64 and horizon == 1600 else a)
    assert verdicts(table) == ["held", "held"]
    assert verdicts(table, "K = N") == ["not held", "not held"]
    sooner = next(row for row in table if "K < N" in row.condition and "N=64, 100 steps" in row.condition)
    assert (sooner.low, sooner.high) == (1.1, 2.0)


def test_half_an_importance_exponent_is_reported_and_decides_nothing():
    table = rows(lambda n, horizon, a, b: 5.0 if b == 0.5 else 1.0)
    assert verdicts(table) == ["held", "held"]
    assert [row.measured for row in table if "K < N, trained embedding, N=64, a=2, b=0.5" in row.condition] == [5.0]


def test_one_number_that_is_not_the_expected_one_is_told_apart():
    assert verdicts(rows(lambda n, horizon, a, b: 0.5)) == ["held", "not held"]


def test_a_missing_exponent_leaves_open_what_the_others_do_not_settle():
    assert verdicts(rows(lambda n, horizon, a, b: np.nan if a == 2 and b == 1 else 1.0)) == ["inconclusive"] * 2
    assert verdicts(rows(lambda n, horizon, a, b: np.nan if a == 2 and b == 1 else a)) == ["not held", "not held"]
    assert verdicts(rows(lambda n, horizon, a, b: np.nan)) == ["inconclusive"] * 2


def test_a_curve_that_bends_has_the_exponent_of_its_horizon(tmp_path):
    steps = np.unique(np.logspace(0, 4, 120).astype(int))
    t = np.concatenate([[0], steps])
    loss = np.where(t < 600, (1 + t) ** -0.5, 601**-0.5 * ((1 + t) / 601.0) ** -1.5)
    pd.DataFrame({"step": t, "lr_time": t * 0.1, "loss": loss}).to_parquet(tmp_path / "curve.parquet")
    run = {"path": str(tmp_path), "trainer.max_steps": 10_000, "alpha_long": 0.9}
    cut = with_horizons(pd.DataFrame([run])).set_index(HORIZON)["alpha_long"]
    assert cut.loc[625] == pytest.approx(0.5, abs=0.02)
    assert cut.loc[625] < cut.loc[2500] < cut.loc[10_000] == 0.9
