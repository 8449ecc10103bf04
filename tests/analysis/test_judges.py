"""Judges on made tables whose runs cannot tell: missing arms, nothing to fit, one seed, copies of a run."""

import numpy as np
import pandas as pd
import pytest

from superdyn.analysis.claims import judge
from superdyn.analysis.claims.acceleration import acceleration
from superdyn.analysis.claims.bottleneck import bottleneck
from superdyn.analysis.claims.ceiling import ceiling
from superdyn.analysis.claims.embedding_decay import embedding_decay
from superdyn.analysis.claims.token_exponents import near_rows
from superdyn.analysis.claims.universality import universality
from superdyn.config import ClaimConfig
from superdyn.runs.folder import RunFolder

A, B = "data.data_exponent", "data.importance_exponent"


def claim(name, expected=1.0, tolerance=0.15):
    content = {"statement": "s", "source": "p", "judge": name, "kind": "finding", "expected": expected,
               "tolerance": tolerance, "minutes": {}}  # fmt: skip
    return ClaimConfig.model_validate(content)


def runs(exponents, *, width=16, seeds=(0, 1)):
    """Trained embeddings of N = 32 with the long-window exponent of each (a, b), the same for all seeds."""
    return pd.DataFrame(
        {A: float(a), B: float(b), "seed": seed, "data.n_features": 32, "model.width": width,
         "model.train_encoder": True,
         **{f"{name}{end}": alpha for name in ("alpha", "alpha_long") for end in ("", "_low", "_high")},
         "alpha_strict": np.nan, "alpha_sequential": 0.3, "alpha_rich": 0.4, "exact_deviation": np.nan,
         "signature": f"{a}-{b}-{seed}-{width}", "state": "done"}
        for (a, b), alpha in exponents.items() for seed in seeds
    )  # fmt: skip


def verdict(rows, quantity):
    (found,) = [row for row in rows if row.quantity.startswith(quantity) and row.verdict != "reported"]
    return found.verdict


@pytest.mark.parametrize(
    ("exponents", "expected"),
    [
        pytest.param({(1.5, 0): 1.0, (1.5, 1): 1.1}, "held", id="near one"),
        pytest.param({(1.5, 0): 1.0, (1.5, 1): np.nan}, "inconclusive", id="one without an exponent"),
        pytest.param({(1.5, 0): 0.5, (1.5, 1): np.nan}, "not held", id="one away settles it"),
        pytest.param({(1.5, 0.5): 1.0, (2.0, 0.5): 1.0}, "inconclusive", id="b = 0.5 is no evidence"),
        pytest.param({(1.5, 0.5): 0.2, (2.0, 0): 1.0}, "held", id="nor is it counter-evidence"),
    ],
)
def test_universality_waits_for_an_exponent_at_every_pair_that_is_evidence(exponents, expected):
    rows = universality("u", claim("universality"), runs(exponents))
    assert verdict(rows, "α (long window)") == expected
    assert verdict(rows, "α (strict)") == ("inconclusive" if all(b == 0.5 for _, b in exponents) else "not held")


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ({(1.5, 0): 1.5}, "held"),
        ({(1.5, 0): 1.0}, "not held"),
        ({(1.5, 0): np.nan}, "inconclusive"),
        ({}, "inconclusive"),
    ],
)
def test_a_bottleneck_without_its_control_is_not_judged(control, expected):
    rows = bottleneck("b", claim("bottleneck"), pd.concat([runs({(1.5, 0): 1.0}), runs(control, width=32)]))
    assert verdict(rows, "share") == expected
    assert "fail" not in {row.verdict for row in rows}  # no frozen embedding is here to deviate


def test_a_lone_arm_leaves_acceleration_and_ceiling_open():
    table = runs({(1.5, 0): 1.0})
    assert verdict(acceleration("c", claim("acceleration"), table), "largest time ratio") == "inconclusive"
    assert verdict(ceiling("c", claim("ceiling"), table), "share") == "inconclusive"


def test_curves_with_too_few_points_for_a_slope_leave_the_ceiling_open(tmp_path):
    steps = np.array([0, 1, 10, 100, 1000])
    folder = RunFolder(tmp_path)
    folder.write_curve({"step": steps, "lr_time": 0.1 * steps, "loss": 1 / (1 + steps)})
    both = pd.concat([runs({(1.5, 0): 1.0}), runs({(1.5, 0): 1.0}, width=32)]).assign(path=str(tmp_path))
    assert verdict(ceiling("c", claim("ceiling"), both), "share") == "inconclusive"


def test_one_weight_decay_shows_no_change(tmp_path):
    folder = RunFolder(tmp_path)
    measures = {"represented_fraction": np.ones(2), "participation_ratio": np.ones(2)}
    folder.write_curve({"step": np.arange(2), "lr_time": np.arange(2.0), "loss": np.ones(2)} | measures)
    frame = pd.DataFrame({"optimizer.weight_decay": [-1.0, -1.0], "path": str(tmp_path)})
    assert verdict(embedding_decay("c", claim("embedding_decay"), frame), "change") == "inconclusive"


def test_a_lone_seed_does_not_settle_an_exponent():
    table = runs({(1.0, 0): 0.33}).assign(L_inf=0.0, least_loss=0.0)
    for part, expected in ((table, "held"), (table[:1], "inconclusive")):
        assert near_rows("t", "cross-entropy", part, 1 / 3, 0.1)[0].verdict == expected


def test_a_copied_run_folder_is_no_second_seed():
    table = runs({(1.5, 0): 1.0, (1.5, 1): 1.0}, seeds=(0,))
    twice = pd.concat([table, table])
    rows = judge("u", claim("universality"), twice, list(table["signature"]))
    assert [row.note for row in rows if row.verdict == "reported"] == ["1 seeds", "1 seeds"]
    assert "missing" not in {row.verdict for row in rows}
