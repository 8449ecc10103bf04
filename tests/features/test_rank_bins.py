"""Spectrum bins: every feature in exactly one bin, equal widths in log rank."""

import numpy as np
import pytest

from superdyn.features.rank_bins import bin_edges, binned_mean


@pytest.mark.parametrize("n_features", [1, 2, 64, 1024, 150_000])
def test_bins_cover_every_rank_once(n_features: int) -> None:
    edges = bin_edges(n_features, 16)
    assert (edges[0], edges[-1]) == (1, n_features + 1)
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= 17


def test_the_bin_sums_add_up_to_the_loss() -> None:
    feature_loss = np.random.default_rng(0).random(1024)
    edges = bin_edges(1024, 16)
    np.testing.assert_allclose(binned_mean(feature_loss, edges) @ np.diff(edges), feature_loss.sum(), rtol=1e-12)


def test_wide_bins_are_equally_wide_in_log_rank() -> None:
    edges = bin_edges(150_000, 16)[8:]
    np.testing.assert_allclose(np.diff(np.log(edges)), np.log(150_001) / 16, rtol=1e-2)
