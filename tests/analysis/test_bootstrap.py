"""Stationary blocks: lengths, marginal frequencies, and the choice of the mean length."""

import numpy as np
import pytest

from superdyn.analysis.bootstrap import block_length, stationary_blocks


def test_blocks_have_the_mean_length_and_use_every_point_alike():
    index = stationary_blocks(200, 400, 5.0, np.random.default_rng(0))
    continued = (index[:, 1:] == (index[:, :-1] + 1) % 200).mean()
    assert continued == pytest.approx(1 - 1 / 5, abs=0.01)
    assert np.bincount(index.ravel(), minlength=200) == pytest.approx(400, rel=0.25)


def test_white_noise_needs_single_points_and_correlated_noise_blocks():
    noise = np.random.default_rng(0).standard_normal(2000)
    smooth = np.convolve(noise, np.ones(6), mode="valid")
    assert block_length(noise) < 2
    assert block_length(smooth) > 10
    assert block_length(np.zeros(9)) == 1
