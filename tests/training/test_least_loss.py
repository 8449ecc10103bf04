"""The least loss of a run's evaluation tokens stands in its curve, with the standard error of the excess over it."""

import numpy as np
import pytest
from training.token_runs import BIGRAM, TOKENS

from superdyn.analysis import load_least_by_bin
from superdyn.features.token_source import bin_of_token, language
from superdyn.features.token_stream import evaluation_tokens
from superdyn.features.tokens.batch import TokenBatch
from superdyn.features.tokens.floors import NextTokenLaw, least_mean_losses
from superdyn.training.engine import Engine

HIERARCHY = {"source": "hierarchy", "rules": 4, "eval_tokens": 512, "bins": 6}


@pytest.mark.parametrize("kind", ["cross_entropy", "probability_error"])
def test_the_least_loss_of_each_bin_is_recorded_beside_its_loss(kind, make_config, train_together):
    """From the definition: the mean over all tokens of what the true law loses at those of the bin."""
    config = make_config(**{**TOKENS, "loss": kind, "data__tokens": BIGRAM, "trainer__max_steps": 4})
    (folder,) = train_together([config])
    least, loss, batch = load_least_by_bin(folder.path), folder.spectrum()[1], evaluation_tokens(config)
    assert least is not None
    law, bins = NextTokenLaw(language(config.data)), bin_of_token(config.data)[batch.targets.numpy()]
    of_token = law.token_losses_of(batch, kind)
    by_hand = [of_token[bins == b].sum() / of_token.size for b in range(loss.shape[1])]
    np.testing.assert_allclose(least, by_hand, rtol=1e-6)
    assert least.sum() == pytest.approx(folder.curve()["least_loss"][0], rel=1e-6)


@pytest.mark.parametrize("tokens", [HIERARCHY, BIGRAM], ids=["never known", "older version"])
def test_a_spectrum_without_least_losses_has_none(tokens, make_config, train_together):
    (folder,) = train_together([make_config(**{**TOKENS, "data__tokens": tokens, "trainer__max_steps": 4})])
    if tokens is BIGRAM:
        folder.write_spectrum(*folder.spectrum())
    assert load_least_by_bin(folder.path) is None


@pytest.mark.parametrize(
    ("kind", "tokens"),
    [("cross_entropy", BIGRAM), ("probability_error", BIGRAM), ("logit_error", BIGRAM), ("cross_entropy", HIERARCHY)],
)
def test_the_least_loss_of_the_evaluation_tokens_is_recorded_with_its_excess(kind, tokens, make_config, train_together):
    config = make_config(**{**TOKENS, "loss": kind, "data__tokens": tokens, "trainer__max_steps": 4})
    (folder,) = train_together([config])
    curve, engine, batch = folder.curve(), Engine([config]), evaluation_tokens(config)
    of_token = engine.objective.loss(engine.student, TokenBatch(batch.inputs[None], batch.targets[None])).per_token
    least = least_mean_losses(language(config.data), batch, kind)
    assert least is not None
    excess = of_token.detach().double().view(-1, 16).mean(dim=1).numpy() - least
    np.testing.assert_allclose(curve["least_loss"], least.mean(), rtol=1e-12)
    assert curve["loss"][0] - curve["least_loss"][0] == pytest.approx(excess.mean(), rel=1e-6)
    assert curve["excess_error"][0] == pytest.approx(excess.std(ddof=1) / np.sqrt(len(excess)), rel=1e-6)
    assert (folder.result()["fitted"], folder.result()["least_loss"]) == ("L - L_least", curve["least_loss"][0])


def test_the_least_squared_error_of_a_grammar_is_not_known(make_config, train_together):
    changes = {"loss": "logit_error", "data__tokens": HIERARCHY, "trainer__max_steps": 4}
    (folder,) = train_together([make_config(**{**TOKENS, **changes})])
    assert not {"loss_floor", "least_loss", "excess_error"} & set(folder.curve())
    assert "L itself was fitted" in folder.result()["note"]


def test_a_run_begun_before_the_least_loss_was_recorded_goes_on_with_it(make_config, train_together, stop_at):
    (whole,) = train_together([make_config(**TOKENS)], "whole")
    stop_at(13)
    (folder,) = train_together([make_config(**TOKENS)], "stopped")
    stop_at.undo()
    curve = folder.curve()
    del curve["least_loss"], curve["excess_error"]
    folder.write_curve(curve)
    folder.write_spectrum(*folder.spectrum())
    (folder,) = train_together([make_config(**TOKENS)], "stopped")
    after, expected = folder.curve(), whole.curve()
    lost = after["step"] <= curve["step"][-1]
    np.testing.assert_array_equal(np.isnan(after["excess_error"]), lost)
    expected["excess_error"] = np.where(lost, np.nan, expected["excess_error"])
    assert after.keys() == expected.keys()
    np.testing.assert_array_equal(load_least_by_bin(folder.path), load_least_by_bin(whole.path))
    for name, column in expected.items():
        np.testing.assert_array_equal(after[name], column, err_msg=name)
