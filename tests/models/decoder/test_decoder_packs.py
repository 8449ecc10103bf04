"""On the CPU a member of a pack of decoders has the bits that it has alone: start, loss and every gradient."""

from typing import Any

import pytest
import torch
from plain import shaken
from torch import nn

from superdyn.config.decoder import DecoderSettings
from superdyn.models.decoder.attention import causal_attention
from superdyn.models.decoder.feature_transformer import FeatureTransformer
from superdyn.models.decoder.language_model import LanguageModel
from superdyn.models.lag import lagged_pair
from superdyn.models.risk import sampled_loss

SEEDS = [5, 2, 9]
SETTINGS: dict[str, dict[str, Any]] = {
    "aligned gpt2": {"n_heads": 4, "positions": "learned", "bias": True},
    "aligned llama": {"n_heads": 4, "n_kv_heads": 2, "mlp": "swiglu", "norm": "rms"},
    "odd": {"n_heads": 3, "mlp_ratio": 2.5},
}
SIZES = {"aligned gpt2": (64, 4, 16), "aligned llama": (64, 8, 32), "odd": (42, 3, 7)}
"""Width, samples, positions."""


def members(name: str, family: str, chosen: list[int]) -> nn.Module:
    width, _, length = SIZES[name]
    shape = DecoderSettings.from_mapping({"n_layers": 2, "context": length} | SETTINGS[name]).shape(width=width)
    seeds = [SEEDS[r] for r in chosen]
    return FeatureTransformer(shape, seeds, 80) if family == "features" else LanguageModel(shape, seeds, 80)


def loss_and_gradients(model: nn.Module, x: torch.Tensor) -> list[torch.Tensor]:
    if isinstance(model, LanguageModel):
        loss = model.loss(x[..., :-1], x[..., 1:], "cross_entropy").mean
    else:
        loss = sampled_loss(*lagged_pair(model(x), x, 0), torch.ones(len(x), x.shape[-1]))
    return [loss, *torch.autograd.grad(loss.sum(), list(model.parameters()))]


@pytest.mark.parametrize("family", ["features", "tokens"])
@pytest.mark.parametrize("name", SETTINGS)
def test_loss_and_gradients_do_not_depend_on_the_pack(name, family):
    _, samples, length = SIZES[name]
    together = members(name, family, [0, 1, 2])
    alone = [members(name, family, [r]) for r in range(3)]
    starts = torch.nn.utils.parameters_to_vector(p.detach() for p in alone[1].parameters())
    assert torch.equal(torch.cat([p[1].flatten() for p in together.parameters()]), starts)
    shaken(together, 0.1)
    x = torch.rand(3, samples, length, 80) if family == "features" else torch.randint(80, (3, samples, length + 1))
    found = loss_and_gradients(together, x)
    for r, model in enumerate(alone):
        for own, shared in zip(model.parameters(), together.parameters(), strict=True):
            own.data = shared.detach()[r : r + 1].clone()
        own = loss_and_gradients(model, x[r : r + 1].clone())
        assert all(torch.equal(a, b[r : r + 1]) for a, b in zip(own, found, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("d", [5, 6, 8, 16])
@pytest.mark.parametrize("t", [3, 5, 8, 17, 33, 64])
def test_attention_of_a_member_does_not_depend_on_the_pack(t, d, dtype):
    generator = torch.Generator().manual_seed(0)
    pack = [torch.randn(5, 3, 2, t, d, generator=generator, dtype=dtype) for _ in range(4)]
    found = attended(*pack)
    for r in range(5):
        own = attended(*(x[r : r + 1].clone() for x in pack))
        assert all(torch.equal(a, b[r : r + 1]) for a, b in zip(own, found, strict=True))


def attended(query, key, value, upstream):
    inputs = [x.clone().requires_grad_() for x in (query, key, value)]
    out = causal_attention(*inputs)
    return [out, *torch.autograd.grad(out, inputs, upstream)]
