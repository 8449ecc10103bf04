"""The judge of the controls on made exponents: a switch is told by pairs, and nothing passes by chance."""

import itertools

import pandas as pd
import pytest

from superdyn.analysis.claims.universality_controls import universality_controls
from superdyn.config import ClaimConfig

CLAIM = ClaimConfig.model_validate({"statement": "", "source": "", "judge": "universality_controls", "kind": "finding",
                                    "expected": 1.0, "tolerance": 0.15, "minutes": {}})  # fmt: skip
KEYS = [
    "optimizer.name",
    "model.width",
    "model.train_encoder",
    "data.data_exponent",
    "data.importance_exponent",
    "seed",
]
SHARED = {"data.n_features": 32, "model.encoder_init": "gaussian", "model.activation": "relu", "model.bias": False}


def rows(exponent):
    """The claim's rows where a run's α is `exponent(rule, width, trained, a, b)`."""
    runs = list(itertools.product(("sgd", "adam"), (32, 16), (True, False), (1.1, 2.0), (0.0, 1.0), (0, 1)))
    frame = pd.DataFrame(runs, columns=KEYS).assign(**SHARED, alpha=1.0, alpha_low=1.0, alpha_high=1.0)
    alpha = [exponent(*run[:-1]) for run in runs]
    return universality_controls("controls", CLAIM, frame.assign(**dict.fromkeys(ends("alpha_long"), alpha)))


def ends(name):
    return name, f"{name}_low", f"{name}_high"


def found(table):
    return {row.condition: row for row in table if row.verdict != "reported"}


def test_the_claim_holds_where_every_student_has_the_exponent_and_the_control_takes_the_same_test():
    verdicts = found(rows(lambda rule, width, trained, a, b: 1.1 if width < 32 else a))
    assert {where: row.verdict for where, row in verdicts.items()} == {
        "adam, K < N": "held",
        "adam, K = N (control)": "not held",
        "sgd, K < N": "held",
        "sgd, K = N (control)": "not held",
    }


def test_one_student_that_differs_is_enough_not_to_hold_and_the_nearest_is_named():
    row = found(rows(lambda rule, width, trained, a, b: 1.0 if trained else a))["sgd, K < N"]
    assert (row.verdict, row.measured) == ("not held", 0.5)
    assert "1 of 2 students" in row.note
    assert "trained embedding True" in row.note


def test_a_switch_is_told_by_pairs_that_differ_in_nothing_else():
    table = rows(lambda rule, width, trained, a, b: 1.0 + 0.5 * (not trained) + 0.2 * (rule == "adam"))
    changes = {row.condition: row for row in table if row.quantity == "change of the largest |α − 1|"}
    assert changes["trained embedding False → True"].measured == pytest.approx(-0.5)
    assert changes["rule sgd → adam"].measured == pytest.approx(0.2)
    assert changes["K/N 1.0 → 0.5"].measured == pytest.approx(0.0)
    assert "4 pairs" in changes["K/N 1.0 → 0.5"].note


def test_a_setting_without_an_exponent_somewhere_does_not_count_as_universal():
    table = rows(lambda rule, width, trained, a, b: float("nan") if a == 2.0 else 1.0)
    assert {row.measured for row in found(table).values()} == {0.0}
    assert all("exponents at 2 of 4" in row.note for row in table if row.quantity == "α (long window)")
