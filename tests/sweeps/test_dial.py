"""The dial of a language model in YAML: width, learning rate and batch follow the size, each can be given by itself."""

import yaml
from hydra import compose, initialize_config_dir

from superdyn.cli import main
from superdyn.conf_path import conf_path
from superdyn.config.decoder import DecoderSettings
from superdyn.hydra_app import register_with_hydra, train
from superdyn.sweeps.resolvers import to_run_config

TINY = ["data.length=32", "data.tokens.eval_tokens=32", "trainer.max_steps=1", "trainer.progress=false", "logger=none"]


def composed(*overrides):
    register_with_hydra()
    with initialize_config_dir(str(conf_path()), version_base="1.3"):
        return to_run_config(compose("config", ["model=language_model", *overrides]))


def test_width_rate_and_batch_follow_the_size():
    shape = DecoderSettings.from_mapping({"size": "1M", "context": 128}).shape()
    config = composed("model.decoder.size=1M", "data.length=128")
    assert config.model.width == shape.width
    assert config.optimizer.lr == shape.learning_rate
    assert config.data.batch_size == shape.batch_sequences
    assert (config.optimizer.name, config.loss, config.data.tokens.source) == ("adamw", "cross_entropy", "zipf")  # pyright: ignore[reportOptionalMemberAccess]


def test_each_can_be_given_by_itself():
    config = composed("model.width=96", "optimizer.lr=0.02", "data.batch_size=7", "data=bigram_tokens")
    assert (config.model.width, config.optimizer.lr, config.data.batch_size) == (96, 0.02, 7)
    assert config.data.tokens.source == "bigram"  # pyright: ignore[reportOptionalMemberAccess]
    assert composed("optimizer=muon").optimizer.name == "muon"


def test_a_sweep_over_sizes_derives_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert train(["-m", "model=language_model", "model.decoder.size=100k,300k", "seed=0,1", *TINY]).done == 4  # pyright: ignore[reportOptionalMemberAccess]
    configs = [yaml.safe_load(path.read_text()) for path in tmp_path.glob("runs/train/*/config.yaml")]
    widths = {(c["model"]["decoder"]["size"], c["model"]["width"], c["seed"]) for c in configs}
    assert widths == {(s, w, seed) for s, w in ((100_000, 64), (300_000, 112)) for seed in (0, 1)}


def test_token_data_without_a_language_model_is_refused(capsys):
    assert main(["train", "data=zipf_tokens"]) == 2
    assert capsys.readouterr().err.endswith(
        "data.batch_size is derived from model.decoder.size, which this model lacks; use model=language_model, or give "
        "data.batch_size a number.\n"
    )
