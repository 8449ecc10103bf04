"""What Weights & Biases shows of a language model beside what it shows of every run."""

import numpy as np
import pytest
from test_wandb_callback import read_back
from training.token_runs import BIGRAM, TOKENS


def test_wandb_shows_rate_tokens_training_loss_and_mean_losses_of_the_bins(make_config, train_together, tmp_path):
    changes = {"data__tokens": BIGRAM, "trainer__max_steps": 4, "optimizer__schedule": "cosine"}
    config = make_config(**{**TOKENS, **changes}, logger__name="wandb")
    (folder,) = train_together([config])
    (run,) = read_back(tmp_path / "sweep")[folder.name]
    first, last = run["history"][0], run["history"][-1]
    assert not {"train_loss", "grad_norm"} & set(first)
    assert (first["lr"], last["tokens"]) == (config.optimizer.lr, 4 * 8 * 16)
    assert last["lr"] == pytest.approx(config.optimizer.lr * 0.5 * (1 + np.cos(np.pi * 3 / 4)))
    assert (last["train_loss"], last["grad_norm"]) == tuple(folder.curve()[k][-1] for k in ("train_loss", "grad_norm"))
    share, n_bins = folder.spectrum("share")[1][0], folder.spectrum()[1].shape[1]
    bins = [first[f"feature_loss/bin_{b:02d}"] for b in range(n_bins)]
    np.testing.assert_allclose(bins, np.log(64), rtol=0.1)  # before training every token costs ln V
    assert share.sum() == pytest.approx(1)
    assert share @ np.array(bins) == pytest.approx(first["loss"], rel=1e-5)
