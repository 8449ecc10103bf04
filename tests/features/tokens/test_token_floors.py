"""The least possible losses: those of the transition matrix, and no prediction does better on drawn tokens."""

import numpy as np
import pytest
import torch

from superdyn.features.tokens.bigram import BigramTokens
from superdyn.features.tokens.floors import NextTokenLaw, best_token_losses, least_mean_loss, least_mean_losses
from superdyn.features.tokens.hierarchy import HierarchicalTokens
from superdyn.features.tokens.synthetic import SyntheticTokens
from superdyn.features.tokens.zipf import ZipfTokens
from superdyn.models.decoder.losses import _LOSSES

LOSSES = ("cross_entropy", "probability_error", "logit_error")
LAWS = {
    "zipf": lambda: ZipfTokens(40, 1.2),
    "bigram": lambda: BigramTokens(40, 1.0, 0.6),
    "peaked": lambda: BigramTokens(40, 1.5, 1.0, pieces=60),
}


@pytest.fixture(params=LAWS)
def language(request):
    return LAWS[request.param]()


def matrix(language):
    """P(w|v) from its definition."""
    q, p = language.frequencies, np.zeros((40, 40))
    if isinstance(language, ZipfTokens):
        return np.tile(q, (40, 1))
    k = language.successors()
    p[k.token, k.successor] = language.strength * k.probability
    return p + (1 - language.strength) * q


def losses_of(predicted, batch, loss):
    """The training losses at the predictions: the logits are ln P, or P itself for the squared error of logits."""
    logits = predicted if loss == "logit_error" else np.log(np.maximum(predicted, 1e-300))
    rows = torch.from_numpy(logits)[batch.inputs.flatten()][None]
    return _LOSSES[loss](rows.clone(), batch.targets.flatten()[None, :, None])[0]


def test_probabilities_and_square_sums_are_those_of_the_transition_matrix(language):
    law, p = NextTokenLaw(language), matrix(language)
    x, y = np.divmod(np.arange(1600), 40)
    np.testing.assert_allclose(law.probability(x, y), p.ravel(), atol=1e-14)
    np.testing.assert_allclose(law.square_sum(), (p**2).sum(axis=1), rtol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_least_losses_of_given_tokens_are_the_training_losses_at_the_true_law(loss, language):
    batch = SyntheticTokens(language, 16, 50, seed=3).batch(0)
    least = least_mean_losses(language, batch, loss)
    assert least is not None
    of_token = losses_of(matrix(language), batch, loss).view(-1, 16)
    np.testing.assert_allclose(least, of_token.mean(dim=1), rtol=1e-9)
    best = best_token_losses(language, batch, loss)
    assert best is not None
    np.testing.assert_allclose(best, of_token, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_least_loss_of_the_language_is_what_many_tokens_tend_to(loss, language):
    law, batch = NextTokenLaw(language), SyntheticTokens(language, 16, 20_000, seed=5).batch(0)
    error = losses_of(matrix(language), batch, loss).view(-1, 16).mean(dim=1).std().item() / np.sqrt(20_000)
    assert abs(law.least_losses_of(batch, loss).mean() - law.least_loss(loss)) < 4.5 * error + 1e-12


@pytest.mark.parametrize("loss", LOSSES)
def test_any_other_prediction_has_a_larger_mean(loss, language):
    p, law = matrix(language), NextTokenLaw(language)
    other = 0.9 * p + 0.1 / 40
    if loss == "cross_entropy":
        of_next = -np.log(other)
    else:
        of_next = 0.5 * ((other[:, None] - np.eye(40)) ** 2).sum(axis=2)  # v, next token
    assert language.frequencies @ (p * of_next).sum(axis=1) > law.least_loss(loss) + 1e-4


def test_a_language_that_looks_back_further_is_refused():
    with pytest.raises(ValueError, match="HierarchicalTokens"):
        NextTokenLaw(HierarchicalTokens(100, symbols=20, rules=4, exponent=1.0))


def test_the_floor_of_a_run_is_left_out_where_it_is_not_known():
    grammar = HierarchicalTokens(100, symbols=20, rules=4, exponent=1.0)
    assert least_mean_loss(grammar, "cross_entropy") == grammar.cross_entropy()
    assert least_mean_loss(grammar, "probability_error") is None
    batch = SyntheticTokens(grammar, 8, 20_000, seed=0).batch(0)
    assert least_mean_losses(grammar, batch, "logit_error") is None
    assert best_token_losses(grammar, batch, "cross_entropy") is None
    least = least_mean_losses(grammar, batch, "cross_entropy")
    assert least is not None
    assert abs(least.mean() - grammar.cross_entropy()) < 4.5 * least.std() / np.sqrt(20_000)
    bigrams = LAWS["bigram"]()
    assert least_mean_loss(bigrams, "logit_error") == NextTokenLaw(bigrams).least_loss("logit_error")
