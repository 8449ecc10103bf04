"""Gradients of the linear map and the layer norm, which are written out; a lone run's maps in one product."""

import pytest
import torch
import torch.nn.functional as F
from plain import shaken

from superdyn.config.decoder import DecoderSettings
from superdyn.models.decoder import linear
from superdyn.models.decoder.initial import Initial
from superdyn.models.decoder.language_model import LanguageModel
from superdyn.models.decoder.linear import StackedLinear
from superdyn.models.decoder.norm import StackedNorm


def layers(runs, bias, dtype=torch.float64, width=16):
    """A norm and a linear map of random parameters."""
    shape = DecoderSettings.from_mapping({"n_layers": 1, "n_heads": 1, "bias": bias}).shape(width=width)
    initial = Initial(range(runs), [0.1] * runs, dtype)
    found = StackedNorm(shape, initial), StackedLinear(initial, "map", width, 5, bias=bias)
    for parameter in [p for layer in found for p in layer.parameters()]:
        parameter.data = torch.randn_like(parameter)
    return found


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("runs", [1, 2])
def test_gradients_are_those_of_finite_differences(runs, bias):
    x = torch.randn(runs, 2, 3, 16, dtype=torch.float64, requires_grad=True)
    for layer in layers(runs, bias):
        names = [name for name, _ in layer.named_parameters()]

        def output(x, *values, layer=layer, names=names):
            return torch.func.functional_call(layer, dict(zip(names, values, strict=True)), (x,))

        assert torch.autograd.gradcheck(output, (x, *layer.parameters()))


def test_a_layer_norm_is_that_of_torch_with_the_gain_of_each_member():
    norm, _ = layers(3, bias=True)
    x = 5 + torch.randn(3, 2, 4, 16, dtype=torch.float64)
    assert norm.bias is not None
    expected = F.layer_norm(x, (16,)) * norm.gain[:, None, None] + norm.bias[:, None, None]
    torch.testing.assert_close(norm(x), expected)


def test_the_gradients_of_a_layer_norm_do_not_depend_on_the_number_of_threads():
    norm, _ = layers(1, bias=True, dtype=torch.float32, width=64)
    x, upstream = torch.randn(2, 1, 50, 40, 64)
    found, before = [], torch.get_num_threads()
    for threads in (1, 2):
        torch.set_num_threads(threads)
        own = x.clone().requires_grad_()
        found.append(torch.autograd.grad(norm(own), (own, *norm.parameters()), upstream))
    torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.parametrize("style", [{"positions": "learned", "bias": True}, {"mlp": "swiglu", "n_kv_heads": 1}])
def test_maps_side_by_side_in_one_product_are_the_maps_one_by_one(style, monkeypatch):
    shape = DecoderSettings.from_mapping({"n_layers": 2, "n_heads": 2, "context": 8} | style).shape(width=16)
    model = shaken(LanguageModel(shape, [0], 40, dtype=torch.float64))
    assert isinstance(model, LanguageModel)
    tokens = torch.randint(40, (1, 3, 9))
    found = []
    for on_gpu in (False, True):
        monkeypatch.setattr(linear, "lone_on_gpu", lambda x, on_gpu=on_gpu: on_gpu)
        loss = model.loss(tokens[..., :-1], tokens[..., 1:], "cross_entropy").mean
        found.append([loss, *torch.autograd.grad(loss, list(model.parameters()))])
    for one_by_one, together in zip(*found, strict=True):
        torch.testing.assert_close(together, one_by_one, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("sharded", [False, True])
def test_maps_whose_weights_are_sharded_keep_no_copy_of_them(sharded, monkeypatch):
    monkeypatch.setattr(linear, "lone_on_gpu", lambda x: True)
    initial = Initial([0], [0.1], torch.float32)
    maps = [StackedLinear(initial, name, 16, 5, bias=False) for name in ("query", "key")]
    for own in maps:
        own.sharded = sharded
    x, kept = torch.randn(1, 2, 3, 16, requires_grad=True), []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        linear.side_by_side(maps, x)
    known = {t.untyped_storage().data_ptr() for t in (x, *(own.weight for own in maps))}
    copies = [t for t in kept if t.untyped_storage().data_ptr() not in known]
    assert [t.numel() for t in copies] == ([] if sharded else [10 * 16])
