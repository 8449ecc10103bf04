"""The bigram language: Zipf stays stationary, and the entropy is that of the transition matrix, by two other ways."""

import numpy as np
import pytest

from superdyn.features.tokens.bigram import BigramTokens
from superdyn.features.tokens.synthetic import SyntheticTokens
from superdyn.features.tokens.zipf import ZipfTokens, entropy

SMALL = {"vocabulary_size": 7, "exponent": 1.0, "strength": 0.6, "pieces": 10}


def dense(law):
    """K as a matrix."""
    k = law.successors()
    matrix = np.zeros((law.vocabulary_size, law.vocabulary_size))
    matrix[k.token, k.successor] = k.probability
    return matrix


def by_grid(law, points=2_000_000):
    """K from its definition: points spread evenly over [0, 1) are moved piece by piece."""
    x = (np.arange(points) + 0.5) / points
    jumps, edges = law.jumps.numpy(), law.cuts.numpy()
    moved = x + jumps[(x * law.pieces).astype(int)]
    joint = np.zeros((law.vocabulary_size,) * 2)
    np.add.at(joint, (np.searchsorted(edges, x, side="right"), np.searchsorted(edges, moved, side="right")), 1 / points)
    return joint / joint.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("pieces", [1, 3, 10, 100])
def test_the_successors_are_those_of_the_definition(pieces):
    law = BigramTokens(7, 1.0, 0.6, pieces)
    np.testing.assert_allclose(dense(law), by_grid(law), atol=1e-4)


@pytest.mark.parametrize(("vocabulary_size", "exponent", "pieces"), [(7, 1.0, 10), (300, 1.0, 300), (300, 2.0, 77)])
def test_zipf_frequencies_are_stationary(vocabulary_size, exponent, pieces):
    law = BigramTokens(vocabulary_size, exponent, 1.0, pieces)
    k = dense(law)
    np.testing.assert_allclose(k.sum(axis=1), 1, rtol=1e-9)
    np.testing.assert_allclose(law.frequencies @ k, law.frequencies, rtol=1e-9)


@pytest.mark.parametrize("strength", [0.0, 0.3, 0.9, 1.0])
def test_the_entropy_is_that_of_the_transition_matrix(strength):
    law = BigramTokens(300, 1.0, strength, 200)
    transition = (1 - strength) * law.frequencies + strength * dense(law)
    per_token = np.array([entropy(row) for row in transition])
    np.testing.assert_allclose(law.conditional_entropies(), per_token, atol=1e-12)
    assert law.cross_entropy() == pytest.approx(law.frequencies @ per_token, rel=1e-12)


def test_without_strength_it_is_the_independent_language():
    assert BigramTokens(100, 1.0, 0.0).cross_entropy() == pytest.approx(ZipfTokens(100, 1.0).cross_entropy(), rel=1e-12)
    entropies = [BigramTokens(100, 1.0, strength).cross_entropy() for strength in (0.0, 0.5, 1.0)]
    assert entropies == sorted(entropies, reverse=True)


def test_drawn_pairs_have_the_conditional_frequencies():
    law = BigramTokens(**SMALL)
    batch = SyntheticTokens(law, 40, 20_000, seed=2).batch(0)
    pairs = np.zeros((7, 7))
    np.add.at(pairs, (batch.inputs.numpy().ravel(), batch.targets.numpy().ravel()), 1)
    transition = 0.4 * law.frequencies + 0.6 * dense(law)
    seen = pairs.sum(axis=1, keepdims=True)
    z = (pairs - seen * transition) / np.sqrt(seen * transition * (1 - transition))
    assert np.abs(z).max() < 4.5
    assert abs((z**2).mean() * 7 / 6 - 1) < 4.5 * np.sqrt(2 / 42)


def test_the_loss_of_the_true_law_on_drawn_text_is_the_cross_entropy():
    law = BigramTokens(**SMALL)
    batch = SyntheticTokens(law, 40, 20_000, seed=3).batch(0)
    transition = 0.4 * law.frequencies + 0.6 * dense(law)
    loss = -np.log(transition[batch.inputs.numpy(), batch.targets.numpy()]).mean(axis=1)
    assert abs(loss.mean() - law.cross_entropy()) < 4.5 * loss.std() / np.sqrt(len(loss))


def test_frequent_tokens_have_more_successors():
    k = BigramTokens(1000, 1.0, 0.5).successors()
    successors = np.bincount(k.token, minlength=1000)
    assert successors[0] > 20 > 8 > successors[500:].mean()


def test_another_language_has_other_successors_of_the_same_frequencies():
    one, other = BigramTokens(**SMALL), BigramTokens(**SMALL, language=1)
    np.testing.assert_array_equal(one.frequencies, other.frequencies)
    assert np.abs(dense(one) - dense(other)).max() > 0.1


def test_a_large_vocabulary_takes_no_matrix():
    law = BigramTokens(50_257, 1.0, 0.7)
    assert len(law.successors().token) <= 3 * 50_257
    assert 0 < law.cross_entropy() < ZipfTokens(50_257, 1.0).cross_entropy()
