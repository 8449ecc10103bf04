"""What cannot be trained on tokens is refused in one sentence before it starts."""

import re

import numpy as np
import pytest
from training.token_runs import TOKENS

from superdyn.config import ConfigError
from superdyn.config.decoder import DecoderSettings
from superdyn.features.tokens.write import ShardWriter
from superdyn.training.feasible import check_feasible
from superdyn.training.memory import RUNTIME_BYTES, check_memory, token_bytes

SHARDED = {**TOKENS, "trainer__strategy": "fsdp", "trainer__devices": 4}
REFUSED = {
    "token loss of features": ({"loss": "cross_entropy"}, r"loss=cross_entropy: .* data\.kind=features; allowed are"),
    "feature loss of tokens": ({**TOKENS, "loss": "sampled"}, r"loss=sampled: .* allowed are cross_entropy, prob"),
    "language model of features": ({"model__name": "language_model"}, r"model=language_model: reads tokens"),
    "student of tokens": ({**TOKENS, "model__decoder": None}, r"data\.kind=tokens: needs a model .*=language_model"),
    "bf16 of features": ({"trainer__precision": "bf16-mixed"}, r"trainer\.precision=bf16-mixed: .* 32-true or 64"),
    "accumulated features": ({"trainer__accumulate": 2}, r"trainer\.accumulate=2: .* allowed is 1"),
    "parts": ({**TOKENS, "trainer__accumulate": 3}, r"data\.batch_size=8: trainer\.accumulate=3 .* multiple of 3"),
    "long sequences": ({**TOKENS, "data__length": 17}, r"model\.decoder\.context=16: shorter .* allowed is 17 or more"),
    "short evaluation": (
        {**TOKENS, "data__tokens": {"eval_tokens": 8}},
        r"eval_tokens=8: less .* data\.length=16",
    ),
    "no files": ({**TOKENS, "data__tokens": {"source": "files"}}, r"data\.tokens\.files=\[\]: source=files needs"),
    "files of a language": ({**TOKENS, "data__tokens": {"files": ["x"]}}, r"data\.tokens\.files=\['x'\]: is read with"),
    "half a sentence": (
        {**TOKENS, "data__tokens": {"source": "hierarchy", "depth": 3}, "data__length": 12},
        r"^data\.length=12: sentences of data\.tokens\.depth=3 have 8 tokens; a multiple of 8",
    ),
    "sharded features": (
        {"trainer__strategy": "fsdp"},
        r"fsdp: is for language models only.* allowed is single or",
    ),
    "uneven width": (
        {**SHARDED, "model__width": 30},
        r"fsdp: gives each of 4 ranks .* model\.width is 30; a multiple of",
    ),
    "uneven keys": (
        {**SHARDED, "model__width": 36, "model__decoder": {"n_layers": 1, "n_heads": 6, "n_kv_heads": 1, "bias": True}},
        r"fsdp: .* model\.decoder\.n_kv_heads times the width of a head is 6; a multiple of 4",
    ),
    "uneven head": (
        {**SHARDED, "data__n_features": 62, "model__tied": False, "model__decoder": {"n_layers": 1, "head_rank": 6}},
        r"fsdp: .* model\.decoder\.head_rank is 6; a multiple of 4",
    ),
    "own model": (
        {**SHARDED, "model___target_": "superdyn.models.decoder.block.Block"},
        r"model\._target_=superdyn\.models\.decoder\.block\.Block: .*language_model\.LanguageModel, which it is not",
    ),
    "absent files": (
        {**TOKENS, "data__tokens": {"source": "files", "files": ["absent*.bin"]}},
        r"^data\.tokens\.files with data\.n_features=64: .*absent\*\.bin: no token file there",
    ),
    "muon without matrices": (
        {**TOKENS, "optimizer__name": "muon", "model__decoder": {"n_layers": 0, "context": 16}},
        r"^optimizer=muon: .*model\.decoder\.n_layers=0 .* allowed are sgd, normalized, adam and adamw",
    ),
    "decay of what is frozen": (
        {**TOKENS, "optimizer__weight_decay_on": "encoder", "model__train_encoder": False},
        r"^optimizer\.weight_decay=0\.1: .* model\.train_encoder=False; allowed are 0, or .*weight_decay_on=all",
    ),
    "a language that memory cannot hold": (
        {**TOKENS, "data__n_features": 10**9},
        r"^model\.decoder: .* GiB are free; the smallest change that fits is a smaller vocabulary",
    ),
    "an evaluation set that memory cannot hold": (
        {**TOKENS, "data__tokens": {"eval_tokens": 10**12}},
        r"^model\.decoder: .* the smallest change that fits is a smaller data\.tokens\.eval_tokens",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_run_on_tokens_that_cannot_be_is_refused_in_one_sentence(case, make_config):
    changes, pattern = REFUSED[case]
    with pytest.raises(ConfigError, match=pattern) as refusal:
        check_feasible(make_config(**changes))
    assert "\n" not in str(refusal.value)


def of_files(make_config, folder, **changes):
    tokens = {"source": "files", "files": [str(folder)], "eval_tokens": 512, "bins": 6}
    return make_config(**{**TOKENS, "data__tokens": tokens, **changes})


@pytest.fixture
def shards(tmp_path):
    """A folder of 4,000 tokens of a vocabulary of 64."""
    writer = ShardWriter(tmp_path / "shards", "headered", 64, "none", shard_tokens=1500)
    for document in np.random.default_rng(0).integers(64, size=(40, 100)) * (np.arange(100) % 2):
        writer.add(document)
    writer.close()
    return tmp_path / "shards"


def test_ids_beyond_the_vocabulary_are_refused(make_config, shards):
    check_feasible(of_files(make_config, shards))
    with pytest.raises(ConfigError, match=r"32.*"):
        check_feasible(of_files(make_config, shards, data__n_features=32))


def test_sixteen_bits_are_refused_for_a_larger_vocabulary_unless_the_manifest_knows(make_config, shards):
    check_feasible(of_files(make_config, shards, data__n_features=70_000))
    (shards / "tokens.json").unlink()
    with pytest.raises(ConfigError, match=r"data\.n_features=70001: .*stores ids as uint16, .* up to 65536"):
        check_feasible(of_files(make_config, shards, data__n_features=70_001))  # another one: shards are opened once


def test_training_files_shorter_than_a_sequence_are_refused(make_config, shards):
    short = ShardWriter(shards.parent / "short", "headered", 64, "none")
    short.add(np.arange(10))
    short.close()
    tokens = {"source": "files", "files": [str(short.folder)], "eval_files": [str(shards)], "eval_tokens": 512}
    with pytest.raises(ConfigError, match=r"^data\.length=16: data\.tokens\.files hold 10 tokens, which allow 1 to 9"):
        check_feasible(of_files(make_config, shards, data__tokens=tokens))


def test_an_evaluation_set_that_leaves_no_text_is_refused(make_config, shards):
    tokens = {"source": "files", "files": [str(shards)], "eval_tokens": 4000}
    with pytest.raises(ConfigError, match=r"data\.tokens\.eval_tokens=4000: held out of 4000 tokens, it leaves no seq"):
        check_feasible(of_files(make_config, shards, data__tokens=tokens))


def test_files_train_and_never_show_the_held_out_tail(make_config, shards, train_together):
    config = of_files(make_config, shards, trainer__max_steps=60)
    (folder,) = train_together([config])
    loss = folder.curve()["loss"]
    assert loss[-1] < 0.8 * loss[0]
    result = folder.result()
    assert (result["loss_floor"], result["least_loss"], result["fitted"]) == (None, None, "L")
    assert not {"loss_floor", "least_loss", "excess_error"} & set(folder.curve())
    np.testing.assert_allclose(folder.spectrum()[1].sum(axis=1), loss, rtol=1e-6)


def test_a_model_that_does_not_fit_names_the_smallest_change_that_does(make_config):
    config = make_config(**{**TOKENS, "data__batch_size": 64})
    needed = RUNTIME_BYTES + token_bytes(config)
    check_memory(config, free=needed)
    with pytest.raises(ConfigError, match=r"an estimated .* are free; .* is trainer\.accumulate=2\."):
        check_memory(config, free=needed - 1)
    with pytest.raises(ConfigError, match=r"a smaller vocabulary"):
        check_memory(config, free=RUNTIME_BYTES)
    large = make_config(**{**TOKENS, "model__decoder": {"size": "1B", "context": 16}, "model__allow_overcomplete": True,
                           "model__width": 1728})  # fmt: skip
    with pytest.raises(ConfigError, match=r"estimated 2\d\.\d+ GiB, .* is model\.decoder\.size=\d+M\."):
        check_memory(large, free=4 * 2**30)


def test_ranks_that_each_hold_too_much_are_told_to_share(make_config):
    deep = {**TOKENS, "model__width": 64, "model__decoder": {"n_layers": 32, "context": 16}, "trainer__devices": 2}
    ddp, fsdp = (make_config(**deep, trainer__strategy=name) for name in ("ddp", "fsdp"))
    with pytest.raises(ConfigError, match=r"the smallest change that fits is trainer\.strategy=fsdp\."):
        check_memory(ddp, free=RUNTIME_BYTES + token_bytes(fsdp))
    state = 4 * 4 * 12 * 64**2 * 32
    assert 0.3 * state < token_bytes(ddp) - token_bytes(fsdp) < 0.5 * state


def test_a_smaller_model_that_is_offered_brings_the_batch_of_its_size(make_config):
    settings = DecoderSettings.from_mapping({"size": "1B", "context": 16})
    shape = settings.shape()
    model = {"model__decoder": settings.model_dump(), "model__width": shape.width, "model__allow_overcomplete": True}
    config = make_config(**TOKENS | model | {"data__batch_size": shape.batch_sequences})
    with pytest.raises(ConfigError) as refusal:
        check_memory(config, free=4 * 2**30)
    size, parts = re.search(r"model\.decoder\.size=(\w+) trainer\.accumulate=(\d+)", str(refusal.value)).groups()  # pyright: ignore[reportOptionalMemberAccess]
    offered = DecoderSettings.from_mapping({"size": size, "context": 16}).shape()
    assert offered.batch_sequences % int(parts) == 0
