"""Losses of next-token prediction from z = W_dᵀ h, p = softmax z and e the one-hot target, in tiles of tokens.

cross_entropy: −ln p_y, gradient p − e. probability_error: ½‖p − e‖², gradient p ∘ (g − p·g) with g = p − e.
logit_error: ½‖z − e‖², gradient z − e. Loss and gradients of a tile are made together, so that no tokens × V array
exists beyond one tile and no logit is computed twice; what is done to a tile's logits can be compiled into one kernel.
Axis legend: `r` run, `m` token (positions of all samples), `v` token of the vocabulary, `k` hidden.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from superdyn.models.product import autocast_operands, multiply
from superdyn.models.total import member_sum

LossKind = Literal["cross_entropy", "probability_error", "logit_error"]

TILE_BYTES = {"cpu": 64 * 2**20, "cuda": 2**30}
"""Float32 logits of one member that are held at once: on a GPU more, since every tile also adds up W_d's gradient."""
WHOLE_TILE_BYTES = 2 * 2**30
"""Of logits in their own precision, where a model is compiled with its loss, so that few tiles are needed."""
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
    tile_bytes: int | None = None,
    backend: str | None = None,
) -> TokenLoss:
    """Losses of every member's tokens; at most `tile_bytes` of a member's logits, in float32, exist at a time.

    `backend` is the torch.compile backend by which a tile's loss and slope become one kernel; None leaves it eager.
    """
    if tile_bytes is None:
        tile_bytes = TILE_BYTES["cuda" if hidden.is_cuda else "cpu"]
    hidden, decoder = autocast_operands(hidden, decoder)
    # Without gradients a function is still told which of its inputs could have one.
    wanted = [torch.is_grad_enabled() and x.requires_grad for x in (hidden, decoder)]
    tile = tile_tokens(hidden.shape[1], decoder.shape[2], tile_bytes)
    arguments: Any = (hidden, decoder, targets, kind, tile, wanted, backend)
    mean, per_token = _TiledLoss.apply(*arguments)  # pyright: ignore[reportGeneralTypeIssues]
    return TokenLoss(mean, per_token)


def tile_tokens(tokens: int, vocabulary: int, tile_bytes: int) -> int:
    """Tokens of a tile: as few tiles as fit, of one size but for the last, so that one compiled kernel serves most."""
    fitting = max(_TILE_MULTIPLE, tile_bytes // (vocabulary * 4) // _TILE_MULTIPLE * _TILE_MULTIPLE)
    tiles = -(-tokens // fitting)
    return -(-tokens // (tiles * _TILE_MULTIPLE)) * _TILE_MULTIPLE


class _TiledLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx,
        hidden: Tensor,
        decoder: Tensor,
        targets: Tensor,
        kind: LossKind,
        tile: int,
        wanted: list[bool],
        backend: str | None,
    ) -> tuple[Tensor, Tensor]:
        needs_hidden, needs_decoder = wanted
        losses, d_hidden, d_decoder = [], [], None
        judge = _judged if backend is None else _compiled(backend)
        room = _Room(decoder)
        for h, y in zip(hidden.split(tile, dim=1), targets.split(tile, dim=1), strict=True):
            logits = multiply(h, decoder, out=room.array("logits", h.shape[1], decoder.shape[2]))
            loss, slope = judge(logits, y.unsqueeze(2), kind, any(wanted))
            losses.append(loss)
            if needs_hidden:
                d_hidden.append(multiply(slope, decoder.mT))
            if needs_decoder:
                place = None if d_decoder is None else room.array("part", decoder.shape[1], decoder.shape[2])
                part = multiply(h.mT, slope, out=place)
                d_decoder = _in_float32(part) if d_decoder is None else d_decoder.add_(part)
        ctx.save_for_backward(_joined(d_hidden) if needs_hidden else None, d_decoder)
        ctx.n_tokens = hidden.shape[1]
        per_token = _joined(losses)
        ctx.mark_non_differentiable(per_token)
        return member_sum(per_token.clone()) / per_token.shape[1], per_token

    @staticmethod
    def backward(ctx, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        # The mean over tokens and what comes from above are one factor of small arrays, not of the logits.
        factor = (gradients[0] / ctx.n_tokens)[:, None, None]
        d_hidden, d_decoder = (None if d is None else (d * factor).to(d.dtype) for d in ctx.saved_tensors)
        return d_hidden, d_decoder, None, None, None, None, None


def _joined(tiles: list[Tensor]) -> Tensor:
    return tiles[0] if len(tiles) == 1 else torch.cat(tiles, dim=1)


class _Room:
    """Arrays that the tiles of one call share on the CPU, where one for each would cost fresh pages of memory and leave
    holes; a GPU's allocator keeps what is freed."""

    def __init__(self, like: Float[Tensor, "r k v"]):
        self._like, self._flat = like, {}

    def array(self, name: str, rows: int, columns: int) -> Float[Tensor, "r rows columns"] | None:
        """The array of this name, of the size of the first call at most; None where each may be fresh."""
        if not self._like.is_cpu or torch.compiler.is_compiling():
            return None
        shape = (len(self._like), rows, columns)
        if name not in self._flat:
            self._flat[name] = self._like.new_empty(math.prod(shape))
        return self._flat[name][: math.prod(shape)].view(shape)


def _judged(logits: Tensor, y: Tensor, kind: LossKind, sloped: bool) -> tuple[Tensor, Tensor]:
    """Loss (r, m) of a tile and, if asked for, its gradient with respect to the logits, else the loss again.

    The logits may be overwritten.
    """
    loss, slope = _LOSSES[kind](_in_float32(logits), y)
    return loss, slope().to(logits.dtype) if sloped else loss


@cache
def _compiled(backend: str) -> Callable[..., tuple[Tensor, Tensor]]:
    def judged(logits: Tensor, y: Tensor, kind: LossKind, sloped: bool) -> tuple[Tensor, Tensor]:
        # A copy, which costs nothing inside a kernel; to overwrite an input would.
        return _judged(logits.clone(), y, kind, sloped)

    return torch.compile(judged, dynamic=False, backend=backend)


def _in_float32(logits: Float[Tensor, "r m v"]) -> Float[Tensor, "r m v"]:
    return logits if logits.dtype == torch.float64 else logits.float()


def _cross_entropy(z: Tensor, y: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
    """Loss (r, m) and what makes its gradient with respect to z, which may be overwritten then; so in the next two."""
    # On the CPU in the place of the logits: fresh pages cost as much as the operation.
    in_place = z.is_cpu and not torch.compiler.is_compiling()
    log_p = torch.log_softmax(z, 2, out=z) if in_place else z.log_softmax(dim=2)
    return -log_p.gather(2, y).squeeze(2), lambda: _minus_one_hot(log_p.exp_(), y)


def _probability_error(z: Tensor, y: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
    p = z.softmax(dim=2)
    residual = _minus_one_hot(p.clone(), y)
    return _half_square(residual), lambda: p.mul_(residual - (p * residual).sum(dim=2, keepdim=True))


def _logit_error(z: Tensor, y: Tensor) -> tuple[Tensor, Callable[[], Tensor]]:
    residual = _minus_one_hot(z, y)
    return _half_square(residual), lambda: residual


def _half_square(residual: Float[Tensor, "r m v"]) -> Float[Tensor, "r m"]:
    return residual.square().sum(dim=2).mul_(0.5)


def _minus_one_hot(x: Float[Tensor, "r m v"], y: Int[Tensor, "r m 1"]) -> Float[Tensor, "r m v"]:
    """x − e, in place; compiled code has it in the kernel that makes x, where a scatter would need one of its own."""
    if torch.compiler.is_compiling():
        return x - (torch.arange(x.shape[2], device=x.device) == y).to(x.dtype)
    return x.scatter_add_(2, y, torch.full_like(y, -1, dtype=x.dtype))


_LOSSES = {"cross_entropy": _cross_entropy, "probability_error": _probability_error, "logit_error": _logit_error}
