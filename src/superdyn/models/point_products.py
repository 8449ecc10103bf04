"""x ↦ W x, its gradient, and y − A x on a GPU, from the points of a batch: work follows the active features, not N.

A batch drawn on the GPU lists its points (`features/device_draws.py`): those of a group of 64 samples lie together, in
as many slots for each group, of which the unused ones hold a place past the end of the batch.
Products add up in the order in which the points arrive, so last bits vary from run to run; with `trainer.deterministic`
they are dense instead. Axis legend: `r` run, `s` sample, `n` feature, `k` hidden, `m` slot.
"""

from typing import Any

import torch
from torch import Tensor

from superdyn.features.batches import SparseBatch
from superdyn.features.sampler import GROUP, groups_touched
from superdyn.kernels import AVAILABLE
from superdyn.models.product import dense_members, rounds

_SLOTS, _WIDTH = 32, 32
"""Points and hidden units that a program works on at a time."""

_BLOCK = 256
"""Points whose targets a program subtracts."""

_ENTRIES = 2**31
"""Of a member's weights, or of two groups of samples, where the 32 bits in which a kernel counts them end."""


def serves(batch: SparseBatch, weight: Tensor) -> bool:
    """Whether the kernels take this batch: points at hand, float32, nothing to be rounded or differentiated."""
    if not AVAILABLE or batch.points is None or not weight.is_cuda or torch.is_grad_enabled():
        return False
    if torch.are_deterministic_algorithms_enabled():
        return False
    if max(2 * GROUP * batch.shape[2], weight.shape[1:].numel()) >= _ENTRIES:
        return False
    return weight.dtype == torch.float32 and not rounds(weight.dtype)


@torch.library.custom_op("superdyn::encode_points", mutates_args=())
def encode_points(places: torch.Tensor, values: torch.Tensor, weight: torch.Tensor, samples: int) -> torch.Tensor:
    """W x (r s k) of the points (m) of a step."""
    weight = dense_members(weight)
    hidden = weight.new_zeros(len(weight), samples, weight.shape[1])
    _add_products(places, values, weight, hidden, weight, encodes=True)
    return hidden


@torch.library.custom_op("superdyn::add_points_gradient", mutates_args=("gradient",))
def add_points_gradient(
    places: torch.Tensor, values: torch.Tensor, hidden: torch.Tensor, gradient: torch.Tensor
) -> None:
    """gradient (r k n) += Σ_s hidden_s x_sᵀ, from hidden (r s k) and the points (m) of a step."""
    assert gradient[0].is_contiguous()
    _add_products(places, values, hidden.contiguous(), gradient, gradient, encodes=False)


@torch.library.custom_op("superdyn::subtract_targets", mutates_args=("delta", "d_bias", "energy"))
def subtract_targets(
    places: torch.Tensor,
    values: torch.Tensor,
    importance: torch.Tensor,
    delta: torch.Tensor,
    d_bias: torch.Tensor,
    energy: torch.Tensor,
    rectified: bool,
) -> None:
    """Make of act(z) (r s n), of its sums over samples (r n) and squares (r) those of (act(z) − A x) · act′.

    The squares lose digits where the residual is small, and tell whether the loss is finite.
    """
    from superdyn.kernels.points import subtract_targets_of_run

    assert delta.is_contiguous()
    assert d_bias.is_contiguous()
    runs, _, n = delta.shape
    n_slots = places.numel() // runs
    subtract_targets_of_run[(-(-n_slots // _BLOCK), runs)](  # pyright: ignore[reportIndexIssue]
        places, values, importance.contiguous(), delta, d_bias, energy, n, delta.numel(),
        N_SLOTS=n_slots, RECTIFIED=rectified, SLOTS=_BLOCK,
    )  # fmt: skip


def _add_products(
    places: Tensor, values: Tensor, source: Tensor, target: Tensor, weight: Tensor, *, encodes: bool
) -> None:
    from superdyn.kernels.points import add_products_of_group

    (runs, width, n), samples = weight.shape, (target if encodes else source).shape[1]
    groups = groups_touched(samples)
    add_products_of_group[(groups, -(-width // _WIDTH), runs)](  # pyright: ignore[reportIndexIssue]
        places, values, source, target, weight.stride(0), samples, n, width, runs * samples * n, ENCODES=encodes,
        N_SLOTS=places.numel() // (runs * groups), SAMPLES=GROUP, SLOTS=_SLOTS, WIDTH=_WIDTH,
    )  # fmt: skip


@encode_points.register_fake
def _(places: Any, values: Any, weight: Any, samples: Any) -> Any:
    return weight.new_empty(weight.shape[0], samples, weight.shape[1])


@add_points_gradient.register_fake
def _(places: Any, values: Any, hidden: Any, gradient: Any) -> None:
    return None


@subtract_targets.register_fake
def _(places: Any, values: Any, importance: Any, delta: Any, d_bias: Any, energy: Any, rectified: Any) -> None:
    return None
