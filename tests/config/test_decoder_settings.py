"""The dial derives a shape from one number, what is given overrides it, and impossible shapes are refused."""

from pathlib import Path

import pytest

from superdyn.config import ConfigError
from superdyn.config.decoder import DecoderSettings, derived_heads, dial_table

PAGE = Path(__file__).parents[2] / "docs" / "decoder.md"


@pytest.mark.parametrize("size", [100_000, 300_000, 10**6, 10**7, 10**8, 3 * 10**8, 10**9])
@pytest.mark.parametrize("mlp", ["gelu", "swiglu"])
def test_the_dial_hits_its_size_with_a_width_of_whole_heads(size, mlp):
    shape = DecoderSettings(size=size, mlp=mlp).shape()
    assert shape.block_weights == pytest.approx(size, rel=0.1)
    assert shape.width % 16 == 0
    assert shape.head_width in (16, 32, 64)


@pytest.mark.parametrize("size", ["100k", "3M", "100M", "300M", "1B"])
def test_the_dial_and_a_configuration_with_the_width_of_the_dial_are_one_model(size):
    settings = DecoderSettings.from_mapping({"size": size})
    assert settings.shape() == settings.shape(width=settings.shape().width)


@pytest.mark.parametrize(
    ("text", "size"), [("100k", 10**5), ("1.5M", 1_500_000), ("1B", 10**9), (1e6, 10**6), ("1e6", 10**6)]
)
def test_sizes_are_written_as_people_write_them(text, size):
    assert DecoderSettings.from_mapping({"size": text}).size == size


def test_a_larger_model_learns_slower_on_larger_batches():
    shapes = [DecoderSettings(size=size).shape() for size in (10**5, 10**7, 10**9)]
    assert shapes[0].learning_rate > shapes[1].learning_rate > shapes[2].learning_rate
    assert shapes[0].batch_sequences < shapes[1].batch_sequences < shapes[2].batch_sequences


def test_compute_sets_learning_rate_and_batch_as_in_deepseek_llm():
    shape = DecoderSettings(n_layers=4, context=1).shape(width=128)
    compute = 6 * 20 * (4 * 12 * 128**2) ** 2
    assert shape.learning_rate == pytest.approx(0.3118 * compute**-0.1250)
    assert shape.batch_sequences == round(0.2920 * compute**0.3271)


def test_what_is_given_overrides_the_dial():
    assert DecoderSettings(size=10**6, n_layers=12).shape().n_layers == 12
    assert DecoderSettings(size=10**6, n_layers=12).shape().block_weights == pytest.approx(10**6, rel=0.2)
    assert DecoderSettings(size=10**6).shape(width=64).n_layers == 20
    assert DecoderSettings(size=10**6, n_heads=8).shape(width=64).n_heads == 8
    assert DecoderSettings(n_layers=6).shape().width == 384


def test_heads_divide_the_width_whatever_it_is():
    assert [derived_heads(width) for width in (7, 16, 24, 64, 96, 128, 512, 768, 2048)] == [1, 1, 1, 4, 6, 4, 8, 12, 32]
    assert all(width % derived_heads(width) == 0 for width in range(1, 600))


REFUSED = {
    r"^model\.decoder\.n_heads=3: must divide model\.width=64": {"n_layers": 1, "n_heads": 3},
    r"^model\.decoder\.n_kv_heads=3: must divide model\.decoder\.n_heads=4": {"n_layers": 1, "n_kv_heads": 3},
    r"^model\.decoder\.head_rank=8: .* model\.tied=false": {"n_layers": 1, "head_rank": 8},
    r"^model\.decoder\.positions=rotary: .* a head has 1;": {"n_layers": 1, "n_heads": 64},
    r"^model\.decoder\.n_layers=None, ": {},
}


@pytest.mark.parametrize("sentence", REFUSED)
def test_impossible_shapes_are_refused_in_one_sentence(sentence):
    with pytest.raises(ConfigError, match=sentence):
        DecoderSettings.from_mapping(REFUSED[sentence]).shape(width=64)


def test_a_rank_above_the_width_is_refused():
    with pytest.raises(ConfigError, match=r"^model\.decoder\.head_rank=65: larger than model\.width=64"):
        DecoderSettings(n_layers=1, head_rank=65).shape(width=64, tied=False)


@pytest.mark.parametrize("wrong", [{"layers": 2}, {"size": "big"}, {"size": 3}, {"mlp": "tanh"}, {"n_layers": -1}])
def test_wrong_keys_and_values_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        DecoderSettings.from_mapping(wrong)


def test_the_table_of_the_page_is_what_the_command_prints():
    assert dial_table() in PAGE.read_text(encoding="utf-8")
