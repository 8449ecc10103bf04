"""Judges of width, token half-times and the transformer, on made tables: held, not held, and runs that cannot tell."""

import numpy as np
import pandas as pd
import pytest

from superdyn.analysis.claims.token_half_times import token_half_times
from superdyn.analysis.claims.token_width import width_rows
from superdyn.analysis.claims.transformer_lag import transformer_lag
from superdyn.config import ClaimConfig

A, B = "data.data_exponent", "data.importance_exponent"


def claim(expected, tolerance):
    content = {"statement": "s", "source": "p", "judge": "j", "kind": "finding", "expected": expected,
               "tolerance": tolerance, "minutes": {}}  # fmt: skip
    return ClaimConfig.model_validate(content)


def verdicts(rows):
    return [row.verdict for row in rows if row.verdict != "reported"]


def widths(beta, *, rank_beta=None, shrinks_to=0.95, dimensions=(4, 8, 16, 32)):
    """A table of runs whose excess follows d^-β from the width or the rank; β of the seeds differs by 0.01."""
    rows = []
    laws = {False: beta} if rank_beta is None else {False: beta, True: rank_beta}
    for rank, exponent in laws.items():
        for d in dimensions:
            for seed in (0, 1, 2):
                law = d ** -(exponent + 0.01 * (seed - 1))
                for steps, lr, factor in ((100, 0.1, 1 / shrinks_to), (400, 0.1, 1.0), (400, 0.3, 1.5)):
                    rows.append({"model.width": 64 if rank else d, "model.decoder.head_rank": d if rank else None,
                                 "trainer.max_steps": steps, "optimizer.lr": lr, "seed": seed,
                                 "excess": factor * law})  # fmt: skip
    return pd.DataFrame(rows)


def test_a_width_exponent_is_found_at_the_best_learning_rate_and_held_near_one():
    rows = width_rows("c", claim(1.0, 0.25), widths(1.1))
    assert verdicts(rows) == ["held"]
    assert rows[-1].measured == pytest.approx(1.1)
    assert rows[-1].low <= 1.1 <= rows[-1].high
    assert rows[0].measured == pytest.approx(4**-1.1, rel=1e-3)


@pytest.mark.parametrize(("beta", "word"), [(0.5, "local exponents 0.50"), (1.6, "local exponents 1.60")])
def test_another_width_exponent_is_not_held(beta, word):
    rows = width_rows("c", claim(1.0, 0.25), widths(beta))
    assert verdicts(rows) == ["not held"]
    assert word in rows[-1].note


def test_an_excess_that_bends_is_no_power_law_whatever_its_mean_exponent():
    table = widths(1.0)
    table.loc[table["model.width"] == 8, "excess"] *= 1.5
    rows = width_rows("c", claim(1.0, 0.25), table)
    assert verdicts(rows) == ["not held"]
    assert rows[-1].note.startswith("no power law")
    assert rows[-1].measured == pytest.approx(1.0, abs=0.25)


def test_widths_that_four_times_the_training_improves_are_not_converged():
    rows = width_rows("c", claim(1.0, 0.25), widths(1.0, rank_beta=1.0, shrinks_to=0.5))
    assert verdicts(rows) == ["inconclusive", "inconclusive"]
    assert "too few: 0 of 4 converged" in rows[-1].note
    table = widths(1.0)
    single = width_rows("c", claim(1.0, 0.25), table[table["trainer.max_steps"] == 400])
    assert verdicts(single) == ["inconclusive"]  # one length of training cannot tell


@pytest.mark.parametrize(("rank_beta", "verdict"), [(0.9, "held"), (0.2, "not held")])
def test_the_rank_is_compared_with_the_width(rank_beta, verdict):
    rows = width_rows("c", claim(1.0, 0.25), widths(1.0, rank_beta=rank_beta))
    assert verdicts(rows) == ["held", verdict]
    assert rows[-1].measured == pytest.approx(rank_beta - 1.0)


@pytest.mark.parametrize(
    "lost", [{"trainer.max_steps": 400}, {"trainer.max_steps": 100}, {"trainer.max_steps": 400, "seed": 1}]
)
def test_a_width_with_lost_runs_costs_a_width_or_a_seed_and_no_verdict(lost):
    table = widths(1.0)
    gone = (table["model.width"] == 8) & (table[list(lost)] == pd.Series(lost)).all(axis=1)
    rows = width_rows("c", claim(1.0, 0.25), table[~gone])
    assert verdicts(rows) == ["held"]
    assert rows[-1].measured == pytest.approx(1.0)


def test_ranks_that_are_no_widths_are_not_compared():
    table = widths(1.0, rank_beta=1.0)
    table["model.decoder.head_rank"] *= 3
    assert verdicts(width_rows("c", claim(1.0, 0.25), table)) == ["held", "inconclusive"]


def half_times(narrow, wide, rule="sgd", a=2.0):
    """A table of runs with the half-time exponents z·a of the two arms, one per seed."""
    arms = [(16, True, narrow), (64, True, wide), (64, False, wide)]
    return pd.DataFrame(
        {"optimizer.name": rule, "model.width": width, "model.train_encoder": trained, "data.n_features": 64, A: a,
         "seed": seed, "half_time_exponent": a * z}
        for width, trained, arm in arms for seed, z in enumerate(arm)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("narrow", "verdict"),
    [
        pytest.param([0.5, 0.52, 0.48], "held", id="smaller"),
        pytest.param([0.95, 0.98, 0.96], "not held", id="hardly smaller"),
        pytest.param([1.3, 1.32, 1.28], "not held", id="larger"),
        pytest.param([0.3, 1.0, 0.9], "inconclusive", id="too much scatter"),
        pytest.param([0.5, np.nan, 0.5], "inconclusive", id="a run without z"),
    ],
)
def test_z_in_superposition_is_compared_with_both_controls(narrow, verdict):
    rows = token_half_times("c", claim(0.0, 0.1), half_times(narrow, [1.0, 1.02, 0.98]))
    assert verdicts(rows) == [verdict, verdict]
    assert "trained" in rows[-2].condition
    assert "frozen" in rows[-1].condition
    if np.isfinite(narrow).all():
        assert rows[-1].measured == pytest.approx(1.0 - np.mean(narrow))
        assert rows[-1].low <= rows[-1].measured <= rows[-1].high
    else:
        assert "1 of 6 runs have no z" in rows[-1].note


def test_the_difference_of_z_is_of_seeds_that_both_have_two_at_least():
    table = half_times([0.5, 0.52, 0.48], [1.0, 1.02, 0.98])
    narrow = table["model.width"] == 16
    for seeds, verdict in (({0, 1}, "held"), ({0}, "inconclusive")):
        part = table[~narrow | table["seed"].isin(seeds)]
        assert verdicts(token_half_times("c", claim(0.0, 0.1), part)) == [verdict, verdict]


def test_optimizers_are_judged_apart_and_frequencies_not_ranks_are_meant():
    table = pd.concat([half_times([0.5] * 2, [1.0] * 2), half_times([0.0] * 2, [0.0] * 2, rule="adamw")])
    rows = token_half_times("c", claim(0.0, 0.1), table)
    assert verdicts(rows) == ["not held", "not held", "held", "held"]
    assert [row.measured for row in rows if row.condition == "sgd, K = N, frozen embedding"] == [1.0]


def transformers(exponents, *, b=(0.0, 1.0), lag=1):
    """A table of runs: `exponents` of the bottleneck, one a (a, b); the control has 1 everywhere."""
    pairs = [(a, weight) for a in (1.5, 2.0) for weight in b]
    return pd.DataFrame(
        {"data.lag": lag, "optimizer.name": "sgd", "model.width": width, "data.n_features": 64,
         "model.train_encoder": True, A: a, B: weight, "seed": seed, "alpha": alpha, "alpha_long": alpha,
         "alpha_low": alpha, "alpha_high": alpha, "alpha_long_low": alpha, "alpha_long_high": alpha,
         "alpha_strict": np.nan, "alpha_sequential": 0.5, "alpha_rich": 0.4, "alpha_null_long": 0.6,
         "long_window_start": 10.0, "long_window_end": 1000.0}
        for width, arm in ((32, exponents), (64, [1.0] * len(pairs)))
        for (a, weight), alpha in zip(pairs, arm, strict=True)
        for seed in (0, 1)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("exponents", "verdict"),
    [([0.9, 1.1, 1.0, 0.95], "held"), ([0.4, 1.1, 0.5, 1.0], "not held"), ([np.nan, 1, 1, 1], "inconclusive")],
)
def test_a_transformer_and_its_control_take_the_same_test(exponents, verdict):
    rows = transformer_lag("c", claim(1.0, 0.15), transformers(exponents))
    assert verdicts(rows) == [verdict, "held"]
    assert len(rows) == 8 + 2
    assert "α_seq 0.50, α_rich 0.40, exact K = N over the same window 0.60" in rows[0].note
    assert rows[-1].condition == "lag 1, sgd, K = N, trained embedding (control)"


def test_b_of_one_half_is_no_evidence():
    only = transformer_lag("c", claim(1.0, 0.15), transformers([1.0, 1.0], b=(0.5,)))
    assert verdicts(only) == ["inconclusive", "inconclusive"]
    beside = transformer_lag("c", claim(1.0, 0.15), transformers([0.2, 1.0, 0.2, 1.0], b=(0.5, 1.0)))
    assert verdicts(beside) == ["held", "held"]


def test_scatter_over_seeds_that_allows_a_claim_is_not_held_against_it():
    table = transformers([1.0, 1.0, 1.0, 1.0])
    table.loc[(table[A] == 2.0) & (table[B] == 0.0) & (table["seed"] == 0), "alpha_long"] = 0.5
    rows = transformer_lag("c", claim(1.0, 0.15), table)
    assert verdicts(rows) == ["inconclusive", "inconclusive"]
    assert "more seeds" in rows[-1].note


def test_lags_are_judged_apart():
    table = pd.concat([transformers([1.0] * 4, lag=0), transformers([0.5] * 4, lag=1)])
    assert verdicts(transformer_lag("c", claim(1.0, 0.15), table)) == ["held", "held", "not held", "held"]
