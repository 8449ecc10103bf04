"""Judges of token ablations on made tables: held, not held, no power law, and what could not be measured."""

import math

import pandas as pd
import pytest

from superdyn.analysis import fit_power_law, load_curve, load_sweep
from superdyn.analysis.claims import judge
from superdyn.analysis.claims.token_exponents import LONG, STRICT, near_rows, of_excess
from superdyn.analysis.claims.token_loss import loss_rows
from superdyn.analysis.claims.token_optimizer import optimizer_rows
from superdyn.analysis.claims.token_spread import spread_rows
from superdyn.analysis.claims.token_zipf import CONTROL, SUPERPOSITION, zipf_rows
from superdyn.config import ClaimConfig, RunConfig
from superdyn.features.token_source import language
from superdyn.features.token_stream import evaluation_tokens
from superdyn.features.tokens.floors import NextTokenLaw
from superdyn.runs.folder import RunFolder

NAN = math.nan


def runs(exponents, *, strict=True, seeds=3, **columns):
    """A frame as `of_excess` gives it: one run per exponent and seed, seeds 0.01 apart."""
    rows = []
    for place, exponent in enumerate(exponents):
        for seed in range(seeds):
            alpha = exponent + 0.01 * (seed - (seeds - 1) / 2)
            own = {key: values[place] for key, values in columns.items()}
            interval = {f"{name}{end}": alpha for name in ("alpha", "alpha_long") for end in ("", "_low", "_high")}
            rows.append({"seed": seed, **interval, "alpha_strict": alpha if strict else NAN, "L_inf": 1.5,
                         "least_loss": 1.5,
                         "flat_decades": 1.2 if strict else 0.4, "long_window_start": 1.0, "long_window_end": 1e3,
                         **own})  # fmt: skip
    return pd.DataFrame(rows)


def claim(**changes):
    content = {"statement": "s", "source": "p", "judge": "j", "kind": "finding", "expected": 0.0, "tolerance": 0.15,
               "minutes": {"smoke": 1.0}}  # fmt: skip
    return ClaimConfig.model_validate(content | changes)


def verdicts(rows):
    return {(row.quantity, row.condition): row.verdict for row in rows if row.verdict != "reported"}


@pytest.mark.parametrize(
    ("exponent", "strict", "expected"),
    [(0.33, True, ("held", "held")), (0.5, True, ("not held", "not held")), (0.33, False, ("held", "not held"))],
)
def test_an_exponent_is_judged_over_the_long_window_and_where_it_is_a_power_law(exponent, strict, expected):
    long, flat = near_rows("c", "w", runs([exponent], strict=strict), 1 / 3, 0.1)
    assert (long.verdict, flat.verdict) == expected
    assert long.measured == pytest.approx(exponent)
    assert long.low < exponent < long.high
    assert ("no power law" in flat.note) != strict
    assert math.isfinite(flat.measured) == strict


def test_one_run_without_a_flat_decade_is_no_power_law():
    made = runs([0.33])
    made.loc[1, "alpha_strict"] = NAN
    assert near_rows("c", "w", made, 1 / 3, 0.1)[1].note.startswith("no power law: a flat decade in 2 of 3 runs")
    assert near_rows("c", "w", made, 1 / 3, 0.1)[1].verdict == "not held"


def test_an_exponent_that_could_not_be_measured_is_inconclusive():
    long, strict = near_rows("c", "w", runs([NAN], strict=False), 1 / 3, 0.1)
    assert (long.verdict, strict.verdict) == ("inconclusive", "not held")
    assert long.note.startswith("nothing to fit")


def test_an_interval_with_both_sides_of_the_tolerance_is_inconclusive():
    long, strict = near_rows("c", "w", runs([0.42]), 1 / 3, 0.1)  # 0.42 to 0.44 and below, over seeds
    assert long.low < 1 / 3 + 0.1 < long.high
    assert (long.verdict, strict.verdict) == ("inconclusive", "held")


def test_every_loss_is_judged_against_its_own_expectation():
    made = runs([0.35, 0.9, 0.5], loss=["cross_entropy", "probability_error", "logit_error"])
    rows = loss_rows("token_loss", claim(expected=1 / 3, tolerance=0.3), made)
    found = verdicts(rows)
    assert found[LONG, "cross-entropy"] == found[LONG, "squared error of probabilities"] == "held"
    assert found[LONG, "squared error of logits"] == "not held"
    assert {row.expected for row in rows if row.quantity == STRICT} == {1 / 3, 1.0}
    assert sum(row.verdict == "reported" for row in rows) == 3


@pytest.mark.parametrize(("exponents", "verdict"), [((0.4, 0.5), "held"), ((0.4, 0.8), "not held")])
def test_the_spread_over_conditions_decides(exponents, verdict):
    long, strict = spread_rows("c", "w", runs(exponents, a=[1.0, 2.0]), "a", 0.15)
    assert (long.verdict, strict.verdict) == (verdict, verdict)
    assert long.measured == pytest.approx(exponents[1] - exponents[0])
    assert long.low == pytest.approx(long.high) == pytest.approx(long.measured)  # seeds move both alike


def test_a_spread_without_power_laws_is_said_to_have_none():
    long, strict = spread_rows("c", "w", runs([0.4, 0.5], strict=False, a=[1.0, 2.0]), "a", 0.15)
    assert (long.verdict, strict.verdict) == ("held", "not held")
    assert strict.note.startswith("no power law")


def test_seeds_that_do_not_decide_leave_the_spread_inconclusive():
    made = runs([0.4, 0.5], a=[1.0, 2.0], seeds=2)
    made.loc[(made["a"] == 2.0) & (made["seed"] == 1), "alpha_long"] += 0.08
    long, _ = spread_rows("c", "w", made, "a", 0.15)
    assert long.low < long.measured < 0.15 < long.high
    assert long.verdict == "inconclusive"


@pytest.mark.parametrize(("exponents", "why"), [((0.4, NAN), "no decay to fit at a = 2.0"), ((0.4,), "fewer than two")])
def test_a_spread_that_cannot_be_measured_is_inconclusive(exponents, why):
    long, _ = spread_rows("c", "w", runs(exponents, a=[1.0, 2.0]), "a", 0.15)
    assert (long.verdict, math.isnan(long.measured)) == ("inconclusive", True)
    assert long.note.startswith(why)


def test_superposition_and_control_are_put_to_the_same_test():
    columns = {"data.data_exponent": [1.0, 2.0] * 2, "model.width": [16, 16, 64, 64], "data.n_features": [64] * 4}
    rows = zipf_rows("token_zipf", claim(), runs([0.5, 0.55, 0.3, 0.6], **columns))
    found = verdicts(rows)
    assert found[f"spread of {LONG}", SUPERPOSITION] == "held"
    assert found[f"spread of {LONG}", CONTROL] == "not held"
    notes = [row.note for row in rows if row.condition == "width < V, a=2"]
    assert len(notes) == 1
    assert notes[0].endswith("token by token 0.50")


def test_update_rules_are_compared_each_at_its_rate():
    columns = {"optimizer.name": ["sgd", "adam", "muon"], "optimizer.lr": [1.0, 0.003, 0.01]}
    rows = optimizer_rows("token_optimizer", claim(), runs([0.5, 0.9, 0.6], **columns))
    assert verdicts(rows)[f"spread of {LONG}", "adam, muon, sgd"] == "not held"
    assert [row.note.split("; ")[-1] for row in rows[:3]] == ["lr 0.003", "lr 0.01", "lr 1"]
    assert "0.50 at sgd to 0.90 at adam" in rows[3].note


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Three short runs on a bigram language, one per loss."""
    from superdyn.hydra_app import train

    folder = tmp_path_factory.mktemp("tokens")
    tiny = ["data.n_features=16", "model.width=8", "data.length=8", "data.tokens.eval_tokens=1024", "seed=0"]
    rest = ["trainer.max_steps=60", "optimizer.lr=0.01", "logger=none", "trainer.progress=false"]
    outcome = train(["-m", "experiment=token_loss", f"hydra.sweep.dir={folder}", *tiny, *rest])
    assert outcome is not None
    assert outcome.done == 3
    return folder


def test_the_excess_of_a_run_shrinks_above_the_least_loss_of_its_own_tokens(trained):
    for _, run in load_sweep(trained).iterrows():
        curve, config = load_curve(run["path"]), RunConfig.from_mapping(RunFolder(run["path"]).config() or {})
        own = NextTokenLaw(language(config.data)).least_losses_of(evaluation_tokens(config), run["loss"])
        assert curve["least_loss"].unique() == pytest.approx([own.mean()], rel=1e-12)
        excess = curve["loss"] - curve["least_loss"]
        assert 0 < excess.iloc[-1] < excess.iloc[0]
        if run["loss"] == "cross_entropy":  # its own tokens against the whole language
            assert 0 < abs(own.mean() - run["loss_floor"]) < 0.1


def test_finished_runs_are_judged_by_their_excess_and_missing_ones_are_said(trained):
    frame = load_sweep(trained)
    for _, run in frame.iterrows():
        curve = load_curve(run["path"])
        of_loss, excess = (fit_power_law(curve["lr_time"], curve["loss"] - least) for least in (0, run["least_loss"]))
        assert run["alpha_long"] == pytest.approx(excess.alpha_long, rel=1e-9)
        assert run["alpha_long"] != pytest.approx(of_loss.alpha_long, rel=0.1)
    rows = judge("token_loss", claim(judge="token_loss", expected=1 / 3, tolerance=0.3), frame,
                 [*frame["signature"], "0" * 64])  # fmt: skip
    assert {row.condition for row in rows if row.quantity == LONG and row.verdict != "reported"} == {
        "cross-entropy", "squared error of probabilities", "squared error of logits"}  # fmt: skip
    assert [row.quantity for row in rows if row.verdict == "missing"] == ["runs not done"]


def test_runs_whose_least_loss_is_not_known_are_not_judged(trained):
    frame = load_sweep(trained)
    frame.loc[1, "least_loss"] = NAN
    with pytest.raises(ValueError, match=r"\(one of 1\): its result has no least_loss; allowed are runs on synthetic"):
        of_excess(frame)
