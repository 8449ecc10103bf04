"""Both families of decoders against plain modules, member by member, outputs and gradients, for every switch."""

from typing import Any

import pytest
import torch
from plain import PlainDecoder, of_member, shaken, stacked_name

from superdyn.config import ConfigError
from superdyn.config.decoder import DecoderSettings, DecoderShape
from superdyn.models.decoder.feature_transformer import FeatureTransformer
from superdyn.models.decoder.language_model import LanguageModel
from superdyn.models.lag import lagged_pair
from superdyn.models.risk import sampled_loss

GPT2 = {"mlp": "gelu", "norm": "layer", "positions": "learned", "bias": True}
LLAMA = {"mlp": "swiglu", "norm": "rms", "positions": "rotary", "n_kv_heads": 2}
SWITCHES: dict[str, dict[str, Any]] = {
    "gpt2": GPT2,
    "llama": LLAMA,
    "relu without positions": {"mlp": "relu", "norm": "rms", "positions": "none"},
    "untied": GPT2 | {"tied": False},
    "factorised head": LLAMA | {"tied": False, "head_rank": 6},
    "no layers": {"n_layers": 0, "tied": False},
}


def shape_of(switches: dict[str, Any]) -> DecoderShape:
    settings = {"n_layers": 2, "n_heads": 4, "context": 12, "norm_eps": 1e-5} | switches
    tied = settings.pop("tied", True)
    return DecoderSettings.from_mapping(settings).shape(width=24, tied=tied)


def assert_same_gradients(model, plain, loss, plain_loss, r):
    found = dict(zip(dict(model.named_parameters()), torch.autograd.grad(loss, model.parameters()), strict=True))
    for (name, _), gradient in zip(
        plain.named_parameters(), torch.autograd.grad(plain_loss, plain.parameters()), strict=True
    ):
        torch.testing.assert_close(found[stacked_name(name)][r], gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("switches", SWITCHES)
def test_the_feature_transformer_is_the_plain_one(switches, activation):
    shape = shape_of(SWITCHES[switches])
    model = shaken(FeatureTransformer(shape, [0, 1], 40, activation=activation), 0.1)
    x, importance = torch.rand(2, 3, 10, 40), torch.rand(2, 40)
    y = model(x)
    losses = sampled_loss(*lagged_pair(y, x, 2), importance)
    for r in range(2):
        plain = PlainDecoder(shape, 40, last_norm=False, rectified=activation == "relu")
        plain = of_member(plain, dict(model.named_parameters()), r)
        expected = plain(x[r])
        torch.testing.assert_close(y[r], expected, rtol=1e-5, atol=1e-5)
        loss = (expected[:, 2:] - importance[r] * x[r, :, :-2]).square().sum() / 2 / (3 * 8)
        torch.testing.assert_close(losses[r], loss, rtol=1e-5, atol=1e-5)
        assert_same_gradients(model, plain, model_loss(model, x, importance, r), loss, r)


def model_loss(model, x, importance, r):
    return sampled_loss(*lagged_pair(model(x), x, 2), importance)[r]


@pytest.mark.parametrize("switches", SWITCHES)
def test_the_language_model_is_the_plain_one(switches):
    shape = shape_of(SWITCHES[switches])
    model = shaken(LanguageModel(shape, [0, 1], 50), 0.1)
    tokens = torch.randint(50, (2, 3, 13))
    logits = model(tokens[..., :-1])
    for r in range(2):
        plain = of_member(PlainDecoder(shape, 50, last_norm=True), dict(model.named_parameters()), r)
        expected = plain(tokens[r, :, :-1])
        torch.testing.assert_close(logits[r], expected, rtol=1e-5, atol=1e-5)
        loss = torch.nn.functional.cross_entropy(expected.flatten(0, 1), tokens[r, :, 1:].flatten())
        own = model.loss(tokens[..., :-1], tokens[..., 1:], "cross_entropy").mean[r]
        torch.testing.assert_close(own, loss, rtol=1e-5, atol=1e-5)
        assert_same_gradients(model, plain, own, loss, r)


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_without_layers_it_is_the_student_family(tied, activation, make_config):
    from superdyn.models.student import Student

    switches = {"model__tied": tied, "model__core": "identity", "model__activation": activation}
    student = Student([make_config(seed=seed, **switches) for seed in (0, 1)])
    shape = DecoderSettings(n_layers=0, context=16).shape(width=16, tied=tied)
    model = FeatureTransformer(shape, [0, 1], 32, activation=activation)
    assert {n: p.shape for n, p in model.named_parameters()} == {n: p.shape for n, p in student.named_parameters()}
    x = torch.rand(2, 4, 16, 32)
    assert torch.equal(model(x).flatten(1, 2), student(x.flatten(1, 2)))
    assert torch.equal(model.embedding(), student.embedding())


def test_a_lag_pairs_each_output_with_an_earlier_input():
    x = torch.arange(5.0).view(1, 1, 5, 1)
    output, earlier = lagged_pair(x, x, 2)
    assert output.flatten().tolist() == [2, 3, 4]
    assert earlier.flatten().tolist() == [0, 1, 2]


def test_blocks_start_with_the_deviations_of_gpt2():
    model = LanguageModel(DecoderSettings(n_layers=8).shape(width=128), [3], 100)
    layer: Any = model.blocks.layers[0]
    for linear, deviation in ((layer.attention.query, 0.02), (layer.mlp.up, 0.02), (layer.mlp.down, 0.02 / 4)):
        assert float(linear.weight.detach().std()) == pytest.approx(deviation, rel=0.02)
    doubled = LanguageModel(DecoderSettings(n_layers=8, init_scale=0.04).shape(width=128), [3], 100)
    torch.testing.assert_close(doubled.encoder, 2 * model.encoder)


def test_sequences_longer_than_the_context_are_refused():
    shape = shape_of(GPT2)
    with pytest.raises(ConfigError, match=r"model\.decoder\.context=12: shorter than the sequences of 13"):
        LanguageModel(shape, [0], 50)(torch.zeros(1, 1, 13, dtype=torch.int64))
    with pytest.raises(ConfigError, match="shorter"):
        FeatureTransformer(shape, [0], 40)(torch.zeros(1, 1, 13, 40))
