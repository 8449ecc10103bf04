"""The power laws of frequency and importance, and the cap at 1."""

import numpy as np
import pytest

from superdyn.features.probabilities import density_limit, feature_probabilities, importances


def test_probabilities_sum_to_the_density_and_decay_as_the_power():
    p = feature_probabilities(1000, 1.5, density=2.0)
    assert p.sum() == pytest.approx(2.0, rel=1e-12)
    np.testing.assert_allclose(p[99] / p[9], 10.0**-1.5, rtol=1e-12)


def test_exponent_zero_makes_every_feature_equally_frequent():
    np.testing.assert_allclose(feature_probabilities(8, 0.0, density=2.0), 0.25, rtol=1e-15)


def test_the_cap_binds_exactly_above_the_density_limit():
    limit = density_limit(64, 1.1)
    assert feature_probabilities(64, 1.1, limit).max() == 1.0
    assert feature_probabilities(64, 1.1, limit).sum() == pytest.approx(limit, rel=1e-12)
    above = feature_probabilities(64, 1.1, 1.5 * limit)
    assert above[0] == 1.0
    assert above.sum() < 1.5 * limit


def test_importances_follow_their_exponent():
    np.testing.assert_allclose(importances(4, 2.0), [1.0, 1 / 4, 1 / 9, 1 / 16], rtol=1e-15)
    np.testing.assert_array_equal(importances(4, 0.0), np.ones(4))
