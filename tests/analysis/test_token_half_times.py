"""The result of a run on tokens: half-times of its frequency bins, from a folder and from a training."""

import numpy as np
import pytest
from training.token_runs import BIGRAM, TOKENS

from superdyn.analysis import run_result
from superdyn.features.rank_bins import bin_edges
from superdyn.runs.folder import RunFolder

STEPS = np.unique(np.concatenate([[0], np.logspace(0, 6, 120).round()])).astype(np.int64)


def bins_of_an_exponential_run(path, config, exponent):
    """A run whose bins decay at a rate ∝ p^exponent from ln V to floors of their own, p ∝ 1/rank."""
    edges = bin_edges(config.data.n_features, config.data.tokens.bins)
    rank = np.sqrt(edges[:-1] * (edges[1:] - 1.0))
    floor = np.linspace(0.5, 4.0, rank.size)
    loss = floor + (np.log(config.data.n_features) - floor) * np.exp(-0.1 * STEPS[:, None] * rank**-exponent)
    contribution = loss / rank.size
    contribution[:, 1] = 0.0  # a bin that was never a target
    folder = RunFolder(path)
    folder.prepare(config.to_mapping(), config.signature())
    folder.write_curve({"step": STEPS, "lr_time": 0.003 * STEPS, "loss": contribution.sum(axis=1)})
    folder.write_spectrum(STEPS, contribution)
    return folder


@pytest.mark.parametrize("exponent", [1.0, 0.0])
def test_half_times_of_bins_are_those_above_their_floors(exponent, tmp_path, make_config):
    tokens = BIGRAM | {"bins": 16}
    config = make_config(**{**TOKENS, "data__n_features": 256, "data__tokens": tokens})
    folder = bins_of_an_exponential_run(tmp_path / "run", config, exponent)
    result = run_result(folder.path, n_boot=10)
    assert result["half_time_exponent"] == pytest.approx(exponent, abs=0.02)
    low, high = result["half_time_exponent_ci"]
    assert low <= result["half_time_exponent"] <= high
    n_bins = len(bin_edges(256, 16)) - 1
    assert result["half_time_bins"] == [n_bins - 1, n_bins - 1]
    assert result["half_time_features"] == [4, 215]


def test_bins_still_falling_give_no_exponent(tmp_path, make_config):
    config = make_config(**{**TOKENS, "data__n_features": 256, "data__tokens": BIGRAM | {"bins": 16}})
    result = run_result(bins_of_an_exponential_run(tmp_path / "run", config, 9.0).path, n_boot=10)
    assert result["half_time_exponent"] is None
    assert result["half_time_bins"][0] < result["half_time_bins"][1]
