"""Losses of tokens against their dense formulas, in one tile or many."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from superdyn.models.decoder.losses import token_loss

V = 70
KINDS = ["cross_entropy", "probability_error", "logit_error"]
PRECISIONS = pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])


def dense(hidden: Tensor, decoder: Tensor, targets: Tensor, kind: str) -> Tensor:
    """Loss of every token of one member from all logits at once."""
    logits = hidden @ decoder
    one_hot = F.one_hot(targets, V).to(logits.dtype)
    if kind == "cross_entropy":
        return F.cross_entropy(logits, targets, reduction="none")
    guess = logits.softmax(dim=1) if kind == "probability_error" else logits
    return 0.5 * (guess - one_hot).pow(2).sum(dim=1)


@PRECISIONS
@pytest.mark.parametrize("tile_tokens", [16, 32, 1000])
@pytest.mark.parametrize("kind", KINDS)
def test_losses_and_gradients_are_those_of_the_dense_formula(kind, tile_tokens, dtype, tolerance):
    hidden = torch.randn(2, 50, 12, dtype=dtype, requires_grad=True)
    decoder = torch.randn(2, 12, V, dtype=dtype, requires_grad=True)
    targets, upstream = torch.randint(V, (2, 50)), torch.tensor([1.0, -0.3], dtype=dtype)
    mean, per_token = token_loss(hidden, decoder, targets, kind, tile_bytes=tile_tokens * V * 4)
    expected = torch.stack([dense(hidden[r], decoder[r], targets[r], kind) for r in range(2)])
    torch.testing.assert_close(per_token, expected, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(mean, expected.mean(dim=1), rtol=tolerance, atol=tolerance)
    found = torch.autograd.grad((mean * upstream).sum(), (hidden, decoder))
    wanted = torch.autograd.grad((expected.mean(dim=1) * upstream).sum(), (hidden, decoder))
    for gradient, reference in zip(found, wanted, strict=True):
        torch.testing.assert_close(gradient, reference, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_bits_do_not_depend_on_the_pack(kind):
    hidden, decoder, targets = torch.randn(3, 40, 16), torch.randn(3, 16, V), torch.randint(V, (3, 40))
    together = token_loss(hidden, decoder, targets, kind)
    alone = token_loss(hidden[1:2].clone(), decoder[1:2].clone(), targets[1:2], kind)
    assert torch.equal(together.mean[1:2], alone.mean)
    assert torch.equal(together.per_token[1:2], alone.per_token)


def test_no_more_than_a_tile_of_logits_exists_and_gradients_only_where_wanted(monkeypatch):
    from superdyn.models.decoder import losses

    shapes = []
    multiply = losses.multiply

    def seen(a, b, out=None):
        shapes.append((a.shape[1], b.shape[2]))
        return multiply(a, b, out)

    monkeypatch.setattr(losses, "multiply", seen)
    hidden, decoder = torch.randn(1, 100, 8, requires_grad=True), torch.randn(1, 8, V, requires_grad=True)
    targets, tile_bytes = torch.randint(V, (1, 100)), 40 * V * 4
    with torch.no_grad():
        token_loss(hidden, decoder, targets, "cross_entropy", tile_bytes)
    assert shapes == [(32, V), (32, V), (32, V), (4, V)]
    token_loss(hidden, decoder, targets, "cross_entropy", tile_bytes)
    assert shapes[4:7] == [(32, V), (32, 8), (8, V)]


def test_bfloat16_logits_are_summed_in_float32():
    hidden = torch.randn(1, 32, 8, dtype=torch.bfloat16, requires_grad=True)
    decoder, targets = torch.randn(1, 8, V, dtype=torch.bfloat16), torch.randint(V, (1, 32))
    mean, per_token = token_loss(hidden, decoder, targets, "cross_entropy")
    assert per_token.dtype == torch.float32
    expected = F.cross_entropy((hidden[0] @ decoder[0]).float(), targets[0])
    torch.testing.assert_close(mean[0], expected)
    assert torch.autograd.grad(mean.sum(), hidden)[0].dtype == torch.bfloat16
