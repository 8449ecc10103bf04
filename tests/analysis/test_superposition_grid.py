"""The judge of the autoencoder's grid on made losses: exact power laws hold, bent ones do not, whatever their mean."""

import pandas as pd
import pytest

from superdyn.analysis.claims.superposition_grid import grid_rows
from superdyn.config import ClaimConfig

CLAIM = ClaimConfig.model_validate({"statement": "", "source": "", "judge": "superposition_grid", "kind": "finding",
                                    "expected": 1.0, "tolerance": 0.2, "minutes": {}})  # fmt: skip


def frame(loss):
    """Runs whose final loss is `loss(width, decay, a)`, everything represented."""
    points = [(k, decay, a) for k in (8, 16, 32) for decay in (-1.0, 1.0) for a in (0.0, 2.0)]
    keys = ["model.width", "optimizer.weight_decay", "data.data_exponent"]
    return pd.DataFrame(points, columns=keys).assign(loss_final=[loss(*p) for p in points], represented=1.0)


def verdicts(rows):
    return {(row.quantity, row.condition): row.verdict for row in rows if row.verdict != "reported"}


def test_losses_as_expected_are_held_at_both_ends():
    rows = list(grid_rows("grid", CLAIM, frame(lambda k, decay, a: k**-1.0 if decay < 0 else k ** -max(a - 1, 0.0))))
    assert set(verdicts(rows).values()) == {"held"}
    assert len(verdicts(rows)) == 3  # a = 0 has no expectation without superposition
    assert all(row.measured == pytest.approx(row.expected) for row in rows if row.verdict == "held")


def test_another_exponent_is_not_held():
    found = verdicts(grid_rows("grid", CLAIM, frame(lambda k, decay, a: k**-1.5)))
    assert set(found.values()) == {"not held"}


def test_a_bent_line_is_no_power_law_though_its_mean_slope_is_one():
    bent = {8: 1.0, 16: 2**-0.5, 32: 2**-2.0}
    rows = list(grid_rows("grid", CLAIM, frame(lambda k, decay, a: bent[k])))
    strong = [row for row in rows if row.quantity == "β in superposition"]
    assert all(row.measured == pytest.approx(1.0) and row.verdict == "not held" for row in strong)
    assert all("no power law" in row.note for row in strong)


def test_two_widths_or_one_weight_decay_decide_nothing():
    table = frame(lambda k, decay, a: 1 / k)
    for part in (table[table["model.width"] < 32], table[table["optimizer.weight_decay"] > 0]):
        assert set(verdicts(grid_rows("grid", CLAIM, part)).values()) == {"inconclusive"}
