"""The table of who reads what is true: a run changes just with the settings that it reads."""

import warnings

import numpy as np
import pytest
from training.token_runs import TOKENS

from superdyn.config import ConfigError
from superdyn.config.readers import READERS, keys_not_read

OTHER = {
    "data.data_exponent": 1.2, "data.importance_exponent": 0.2, "data.density": 0.7, "data.value_law": "signed",
    "data.batch_size": 16, "data.sampler": "dense", "data.eval_size": 512, "data.eval_sampling": "plain",
    "data.tokens.strength": 0.9, "data.tokens.depth": 1, "data.tokens.rules": 4, "model.tied": False,
    "model.encoder_init": "orthogonal", "model.core": "identity", "model.core_init_scale": 0.2, "model.bias": True,
    "model.decoder.n_heads": 1, "model.decoder.mlp": "relu", "model.decoder.mlp_ratio": 2.0,
    "model.decoder.residual_scaling": False, "model.decoder.rope_base": 100.0, "optimizer.momentum": 0.9,
    "optimizer.betas": (0.5, 0.9), "optimizer.eps": 0.1, "optimizer.clip_norm": 0.01,
    "optimizer.weight_decay_on": "encoder", "optimizer.final_fraction": 0.5, "optimizer.decay_power": 1.0,
    "optimizer.decay_start": 5.0, "optimizer.decay_fraction": 0.5, "optimizer.decay_type": "1-sqrt",
}  # fmt: skip
"""Another value of each setting; of the rest, some are refused with the configuration, and some need two settings."""

LINEAR = {"model__activation": "linear", "model__train_encoder": False, "loss": "population"}
RUNS = {
    "sgd": {"optimizer__schedule": "inverse_power", "optimizer__weight_decay": 0.01},
    "adam": {"optimizer__name": "adam", "optimizer__schedule": "cosine"},
    "wsd": {"optimizer__schedule": "wsd", "optimizer__decay_fraction": 0.6},
    "normalized": {"optimizer__name": "normalized", "model__core": "identity"},
    "muon": {"optimizer__name": "muon", "optimizer__momentum": 0.5, "model__bias": True},
    "exact": LINEAR,
    "flow": {**LINEAR, "solver": "gradient_flow", "optimizer__schedule": "cosine"},
    "identity": {**LINEAR, "model__width": 32, "model__encoder_init": "identity", "loss": "sampled"},
    "bigram": {**TOKENS, "data__tokens": {"source": "bigram", "eval_tokens": 512}},
    "hierarchy": {**TOKENS, "data__tokens": {"source": "hierarchy", "eval_tokens": 512, "rules": 2}},
    "no blocks": {**TOKENS, "optimizer__weight_decay": 0.0, "model__decoder": {"n_layers": 0, "context": 16}},
    "positions": {**TOKENS, "model__decoder": {"n_layers": 1, "context": 16, "positions": "learned"}},
}


def with_other(make_config, run, key):
    """The run with another value of the key; None where it cannot be."""
    changes = dict(run)
    section, _, name = key.rpartition(".")
    nested = section.replace(".", "__")
    if nested in changes:
        changes[nested] = {**changes[nested], name: OTHER[key]}
    else:
        changes[key.replace(".", "__")] = OTHER[key]
    try:
        return make_config(**changes)
    except ConfigError:
        return None


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("adam", "exact") else pytest.mark.slow) for name in RUNS]
)
def test_a_run_changes_just_with_the_settings_that_it_reads(name, make_config, train_together):
    run = {**RUNS[name], "trainer__max_steps": 6}
    plain = make_config(**run)
    keys = [key for key in OTHER if ".decoder." not in key or plain.model.decoder is not None]
    keys = [key for key in keys if ".tokens." not in key or plain.data.tokens is not None]
    others = {key: config for key in keys if (config := with_other(make_config, run, key)) not in (None, plain)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, *folders = train_together([plain, *others.values()])
    same = {
        key
        for key, folder in zip(others, folders, strict=True)
        if np.allclose(folder.curve()["loss"], first.curve()["loss"], rtol=1e-6, atol=0)
    }
    assert same == {key for key in keys_not_read(plain) if key in others}
    assert len(same) > 2


def test_every_row_names_a_setting_that_exists_and_most_are_tried(make_config):
    assert set(OTHER) <= set(READERS)
    assert len(OTHER) > 0.8 * len(READERS)
