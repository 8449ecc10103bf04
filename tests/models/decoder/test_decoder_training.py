"""Decoders under the stacked optimizers: plain torch loops step for step, packs to the bit, and the loss goes down."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from plain import PlainDecoder, of_member, stacked_name
from reference import muon_step
from torch import Tensor, nn

from superdyn.config import OptimizerConfig
from superdyn.config.decoder import DecoderSettings, DecoderShape
from superdyn.models.decoder.feature_transformer import FeatureTransformer
from superdyn.models.decoder.language_model import LanguageModel
from superdyn.models.lag import lagged_pair
from superdyn.models.risk import sampled_loss
from superdyn.training.optimizers import make_optimizer

V = 48
RULES: dict[str, dict[str, Any]] = {
    "sgd": {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
    "adamw": {"lr": 3e-3, "betas": (0.9, 0.95), "weight_decay": 0.1},
    "muon": {"lr": 0.02, "momentum": 0.95, "nesterov": True, "weight_decay": 0.1},
}


def shape_of(**settings: Any) -> DecoderShape:
    return DecoderSettings.from_mapping({"n_layers": 2, "n_heads": 4, "context": 16} | settings).shape(width=32)


def language_loss(model: LanguageModel, tokens: Tensor) -> Tensor:
    return model.loss(tokens[..., :-1], tokens[..., 1:], "cross_entropy").mean


def train(model: nn.Module, loss: Callable[[], Tensor], rule: str, steps: int, **changes: Any) -> Tensor:
    """Losses before every step, (steps, r)."""
    parameters = dict(model.named_parameters())
    members = len(next(iter(parameters.values())))
    config = OptimizerConfig(name=rule, **RULES[rule] | changes)  # pyright: ignore[reportArgumentType]
    optimizer = make_optimizer(parameters, [config] * members)
    rates, losses = torch.full((members,), config.lr), []
    for _ in range(steps):
        losses.append(loss())
        gradients = torch.autograd.grad(losses[-1].sum(), list(parameters.values()))
        optimizer.update(dict(zip(parameters, gradients, strict=True)), rates)
    return torch.stack(losses).detach()


def plain_step(rule: str, model: nn.Module, **changes: Any) -> Callable[[], None]:
    """One step of torch's own rule on a plain model; Muon without its bfloat16, which torch gives no choice about."""
    options = RULES[rule] | changes
    if rule == "muon":
        matrices = [p for p in model.parameters() if p.ndim == 2]
        momenta = [torch.zeros_like(p) for p in matrices]
        lr, mu, decay = options["lr"], options["momentum"], options["weight_decay"]
        vectors = torch.optim.AdamW([p for p in model.parameters() if p.ndim == 1], lr=lr, weight_decay=decay)

        @torch.no_grad()
        def step() -> None:
            for p, momentum in zip(matrices, momenta, strict=True):
                assert p.grad is not None
                muon_step(p, p.grad, momentum, lr, mu, decay, nesterov=True)
            vectors.step()

        return step
    return {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[rule](model.parameters(), **options).step


def plain_losses(model: nn.Module, loss: Callable[[], Tensor], rule: str, steps: int, **changes: Any) -> Tensor:
    step, losses = plain_step(rule, model, **changes), []
    for _ in range(steps):
        model.zero_grad()
        losses.append(loss())
        losses[-1].backward()
        step()
    return torch.stack(losses).detach()


@pytest.mark.parametrize("rule", RULES)
def test_a_language_model_follows_a_plain_torch_loop(rule):
    shape = shape_of(positions="learned", bias=True)
    model, tokens = LanguageModel(shape, [0, 1], V), torch.randint(V, (2, 4, 17))
    plain = [of_member(PlainDecoder(shape, V, last_norm=True), dict(model.named_parameters()), r) for r in range(2)]
    losses = train(model, lambda: language_loss(model, tokens), rule, 20)
    assert losses[-1].max() < losses[0].min() - 0.1
    for r, member in enumerate(plain):
        inputs, targets = tokens[r, :, :-1], tokens[r, :, 1:].flatten()

        def loss(member: nn.Module = member, inputs: Tensor = inputs, targets: Tensor = targets) -> Tensor:
            return nn.functional.cross_entropy(member(inputs).flatten(0, 1), targets)

        expected = plain_losses(member, loss, rule, 20)
        torch.testing.assert_close(losses[:, r], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_a_feature_transformer_follows_a_plain_torch_loop(rule):
    changes = {"lr": 0.02} if rule == "sgd" else {}
    shape = shape_of(mlp="swiglu", norm="rms", n_kv_heads=2, init_scale=0.1)
    model, x = FeatureTransformer(shape, [3, 4], V), (torch.rand(2, 4, 16, V) - 0.9).relu() * 10
    importance = torch.arange(1.0, V + 1).pow(-0.5).expand(2, V)
    plain = [of_member(PlainDecoder(shape, V, last_norm=False), dict(model.named_parameters()), r) for r in range(2)]
    losses = train(model, lambda: sampled_loss(*lagged_pair(model(x), x, 1), importance), rule, 20, **changes)
    assert bool((losses[-1] < 0.9 * losses[0]).all())
    for r, member in enumerate(plain):

        def loss(member: nn.Module = member, r: int = r) -> Tensor:
            return 0.5 * (member(x[r])[:, 1:] - importance[r] * x[r, :, :-1]).pow(2).sum(-1).mean()

        expected = plain_losses(member, loss, rule, 20, **changes)
        torch.testing.assert_close(losses[:, r], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("settings", [{}, {"mlp": "swiglu", "bias": True, "n_kv_heads": 1, "mlp_ratio": 1.3}])
def test_training_in_a_pack_keeps_the_bits_of_training_alone(rule, settings):
    shape, tokens = shape_of(**settings), torch.randint(V, (3, 4, 17))
    together, alone = LanguageModel(shape, [0, 1, 2], V), LanguageModel(shape, [1], V)
    losses = train(together, lambda: language_loss(together, tokens), rule, 6)
    own = train(alone, lambda: language_loss(alone, tokens[1:2]), rule, 6)
    assert torch.equal(losses[:, 1:2], own)
    assert all(torch.equal(a[1:2], b) for a, b in zip(together.parameters(), alone.parameters(), strict=True))


@pytest.mark.parametrize("rule", RULES)
def test_a_tiny_language_model_learns_a_batch_by_heart(rule):
    model, tokens = LanguageModel(shape_of(n_layers=1), [0], V), torch.randint(V, (1, 4, 17))
    losses = train(model, lambda: language_loss(model, tokens), rule, 200)
    assert losses[0].item() == pytest.approx(torch.tensor(V).log().item(), abs=0.1)
    assert losses[-1].item() < 0.2 * losses[0].item()


def test_names_of_the_plain_model_are_those_of_the_stacked_one():
    plain = PlainDecoder(shape_of(bias=True), V, last_norm=True)
    names = [stacked_name(name) for name, _ in plain.named_parameters()]
    assert sorted(names) == sorted(name for name, _ in LanguageModel(shape_of(bias=True), [0], V).named_parameters())


def test_only_attention_reaches_an_earlier_position():
    x = (torch.rand(1, 32, 16, V) < 1 / torch.arange(1, V + 1)) * torch.rand(1, 32, 16, V)
    final = []
    for n_layers in (0, 2):
        model = FeatureTransformer(shape_of(n_layers=n_layers, norm="rms"), [0], V)
        losses = train(model, lambda m=model: sampled_loss(*lagged_pair(m(x), x, 1), torch.ones(1, V)), "adamw", 200)
        final.append(losses[-1].item())
    assert final[1] < 0.6 * final[0]
