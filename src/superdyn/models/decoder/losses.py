"""Losses of next-token prediction from z = W_dᵀ h, p = softmax z and e the one-hot target, in tiles of tokens.

cross_entropy: −ln p_y, gradient p − e. probability_error: ½‖p − e‖², gradient p ∘ (g − p·g) with g = p − e.
logit_error: ½‖z − e‖², gradient z − e. Loss and gradients of a tile are made together, so that no tokens × V array
exists beyond one tile and no logit is computed twice.
Axis legend: `r` run, `m` token (positions of all samples), `v` token of the vocabulary, `k` hidden.
"""

from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superdyn.models.product import autocast_operands, multiply
from superdyn.models.total import member_sum

LossKind = Literal["cross_entropy", "probability_error", "logit_error"]

_TILE_BYTES = 64 * 2**20
"""Logits of one member that are held at once."""
_TILE_MULTIPLE = 16


class TokenLoss(NamedTuple):
    """Attributes:
    mean: over the tokens of each member, differentiable.
    per_token: of every token, for means over some of them; not differentiable.
    """

    mean: Float[Tensor, "r"]
    per_token: Float[Tensor, "r m"]


def token_loss(
    hidden: Float[Tensor, "r m k"],
    decoder: Float[Tensor, "r k v"],
    targets: Int[Tensor, "r m"],
    kind: LossKind,
    tile_bytes: int = _TILE_BYTES,
) -> TokenLoss:
    """Losses of every member's tokens; at most `tile_bytes` of a member's logits exist at a time."""
    fitting = tile_bytes // (decoder.shape[2] * 4) // _TILE_MULTIPLE * _TILE_MULTIPLE
    tile = max(_TILE_MULTIPLE, fitting)
    hidden, decoder = autocast_operands(hidden, decoder)
    # Without gradients a function is still told which of its inputs could have one.
    wanted = [torch.is_grad_enabled() and x.requires_grad for x in (hidden, decoder)]
    mean, per_token = _TiledLoss.apply(hidden, decoder, targets, kind, tile, wanted)  # pyright: ignore[reportGeneralTypeIssues]
    return TokenLoss(mean, per_token)


class _TiledLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx, hidden: Tensor, decoder: Tensor, targets: Tensor, kind: LossKind, tile: int, wanted: list[bool]
    ) -> tuple[Tensor, Tensor]:
        needs_hidden, needs_decoder = wanted
        losses, d_hidden, d_decoder = [], [], None
        for h, y in zip(hidden.split(tile, dim=1), targets.split(tile, dim=1), strict=True):
            loss, slope = _LOSSES[kind](_in_float32(multiply(h, decoder)), y.unsqueeze(2))
            losses.append(loss)
            slope = slope.mul_(1 / hidden.shape[1]).to(hidden.dtype)
            if needs_hidden:
                d_hidden.append(multiply(slope, decoder.mT))
            if needs_decoder:
                part = _in_float32(multiply(h.mT, slope))
                d_decoder = part if d_decoder is None else d_decoder.add_(part)
        ctx.save_for_backward(torch.cat(d_hidden, dim=1) if needs_hidden else None, d_decoder)
        per_token = torch.cat(losses, dim=1)
        ctx.mark_non_differentiable(per_token)
        return member_sum(per_token.clone()) / per_token.shape[1], per_token

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        d_hidden, d_decoder = (
            None if d is None else d * gradients[0].to(d.dtype)[:, None, None] for d in ctx.saved_tensors
        )
        return d_hidden, d_decoder, None, None, None, None


def _in_float32(logits: Float[Tensor, "r m v"]) -> Float[Tensor, "r m v"]:
    return logits if logits.dtype == torch.float64 else logits.float()


def _cross_entropy(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Loss (r, m) and its gradient with respect to z, which may be overwritten; so in the next two."""
    normaliser = z.logsumexp(dim=2, keepdim=True)
    loss = normaliser - z.gather(2, y)
    return loss.squeeze(2), _minus_one_hot(z.sub_(normaliser).exp_(), y)


def _probability_error(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    p = z.softmax(dim=2)
    residual = _minus_one_hot(p.clone(), y)
    return _half_square(residual), p.mul_(residual - (p * residual).sum(dim=2, keepdim=True))


def _logit_error(z: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    residual = _minus_one_hot(z, y)
    return _half_square(residual), residual


def _half_square(residual: Float[Tensor, "r m v"]) -> Float[Tensor, "r m"]:
    return residual.square().sum(dim=2).mul_(0.5)


def _minus_one_hot(x: Float[Tensor, "r m v"], y: Int[Tensor, "r m 1"]) -> Float[Tensor, "r m v"]:
    """x − e, in place."""
    return x.scatter_add_(2, y, torch.full_like(y, -1, dtype=x.dtype))


_LOSSES = {"cross_entropy": _cross_entropy, "probability_error": _probability_error, "logit_error": _logit_error}
