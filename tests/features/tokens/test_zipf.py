"""Independent Zipf tokens: frequencies by z-scores, no memory, and the entropy."""

import numpy as np
import pytest

from superdyn.features.tokens.synthetic import SyntheticTokens
from superdyn.features.tokens.zipf import ZipfTokens, entropy, zipf_frequencies


@pytest.mark.parametrize("exponent", [0.0, 0.7, 1.0, 2.0])
def test_frequencies_are_zipf(exponent):
    p = np.arange(1, 201) ** -exponent / (np.arange(1, 201) ** -exponent).sum()
    tokens = SyntheticTokens(ZipfTokens(200, exponent), 50, 20_000, seed=0).batch(0).inputs.numpy()
    n = tokens.size
    expected = n * p
    often = expected > 25
    z = (np.bincount(tokens.ravel(), minlength=200) - expected) / np.sqrt(expected * (1 - p))
    assert np.abs(z[often]).max() < 4.5
    assert abs((z[often] ** 2).mean() - 1) < 4.5 * np.sqrt(2 / often.sum())


def test_tokens_are_independent_along_the_text():
    tokens = SyntheticTokens(ZipfTokens(50, 1.0), 200, 5000, seed=0).batch(0).inputs.numpy().astype(float)
    for lag in (1, 2, 50):
        correlation = np.corrcoef(tokens[:, :-lag].ravel(), tokens[:, lag:].ravel())[0, 1]
        assert abs(correlation) * np.sqrt(tokens[:, lag:].size) < 4.5


def test_the_cross_entropy_is_that_of_the_frequencies():
    assert ZipfTokens(64, 0.0).cross_entropy() == pytest.approx(np.log(64), rel=1e-14)
    p = zipf_frequencies(100, 1.5)
    assert ZipfTokens(100, 1.5).cross_entropy() == pytest.approx(-(p * np.log(p)).sum(), rel=1e-14)
    assert entropy(np.array([1.0, 0.0])) == 0.0
