"""The cells and values of groups of 64 samples as functions of a stream's words, on any device.

A GPU with Triton draws by one kernel, which is also compiled many times faster than what torch makes of the same
arithmetic; elsewhere torch computes it. Both give the words, counts and cells of `SparseSampler`, bit for bit.
Axis legend: `r` run, `g` group, `w` word, `m` point, `n` feature.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from superdyn.features.generator import BLOCK_WORDS
from superdyn.features.philox import philox_uniforms
from superdyn.features.sampler import GROUP, groups_touched
from superdyn.kernels import AVAILABLE

_BLOCKS = 64
"""Of four words each, that a program of the kernel draws."""


class GroupTables(NamedTuple):
    """What the draws of a pack are functions of, besides the step.

    Attributes:
        keys: of Philox, both words.
        blocks: of four words each, in a group.
        caps: most points of a group, of which the table of counts has one entry more.
        count_cdf: P(count ≤ w), ones past the cap.
        rates: cumulative, of the features.
    """

    keys: Int64[Tensor, "r 2"]
    blocks: Int64[Tensor, "r"]
    caps: Int64[Tensor, "r"]
    count_cdf: Float64[Tensor, "r w"]
    rates: Float64[Tensor, "r n"]


class GroupPoints(NamedTuple):
    """All points that groups may have, of which the first `counts` are drawn.

    Attributes:
        cells: sample of the group · N + feature.
        uniforms: of which the values are quantiles.
    """

    cells: Int64[Tensor, "r g m"]
    uniforms: Float64[Tensor, "r g m"]
    counts: Int64[Tensor, "r g"]


def draw_groups(tables: GroupTables, first_step: int | Int64[Tensor, ""], samples: int, n_steps: int) -> GroupPoints:
    """Points of the groups in which the batches of n_steps steps lie, from `first_step` on.

    Each step has its own `groups_touched(samples)`, so one that two batches share is there twice.
    """
    if AVAILABLE and tables.keys.is_cuda:
        first = torch.as_tensor(first_step, dtype=torch.int64, device=tables.keys.device)
        return GroupPoints(*drawn_by_kernel(first, *tables, samples, n_steps))
    return drawn_by_torch(tables, first_step, samples, n_steps)


def drawn_by_torch(tables: GroupTables, first_step: int | Int64[Tensor, ""], samples: int, n_steps: int) -> GroupPoints:
    """`draw_groups` by operations of torch."""
    keys, blocks, caps, count_cdf, rates = tables
    cap, n = count_cdf.shape[1] - 1, rates.shape[1]
    n_blocks = -(-(1 + 2 * cap) // BLOCK_WORDS)
    start = (first_step + torch.arange(n_steps, device=keys.device)) * samples // GROUP
    groups = (start[:, None] + torch.arange(groups_touched(samples), device=keys.device)).flatten()
    block = groups[:, None] * blocks[:, None, None] + torch.arange(n_blocks, device=keys.device)
    key = keys[:, :, None, None].expand(-1, -1, *block.shape[1:])
    u = philox_uniforms(block, key[:, 0], key[:, 1]).flatten(2)
    counts = torch.searchsorted(count_cdf, u[:, :, 0].contiguous(), right=True)
    place = u[:, :, 1 : 1 + cap] * GROUP
    value_word = torch.arange(1, 1 + cap, device=u.device) + caps[:, None, None]
    uniforms = u.gather(2, value_word.expand(-1, u.shape[1], -1).clamp(max=u.shape[2] - 1))
    sample = place.long()
    found = ((place - sample) * rates[:, -1, None, None]).flatten(1)
    feature = torch.searchsorted(rates, found, right=True).view_as(sample)
    return GroupPoints(sample * n + feature.clamp(max=n - 1), uniforms, counts)


@torch.library.custom_op("superdyn::draw_groups", mutates_args=())
def drawn_by_kernel(
    first_step: torch.Tensor,
    keys: torch.Tensor,
    blocks: torch.Tensor,
    caps: torch.Tensor,
    count_cdf: torch.Tensor,
    rates: torch.Tensor,
    samples: int,
    n_steps: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`draw_groups` by Triton's kernel; points past a member's cap have cells and uniforms that mean nothing."""
    from superdyn.kernels.draws import points_of_words

    cells, uniforms, counts = _outputs(keys, count_cdf, groups_touched(samples) * n_steps)
    cap, n = cells.shape[2], rates.shape[1]
    grid = (counts.numel(), -(-(1 + 2 * cap) // (BLOCK_WORDS * _BLOCKS)))
    points_of_words[grid](  # pyright: ignore[reportIndexIssue]
        first_step, keys, blocks, caps, count_cdf, rates, cells, uniforms, counts, samples, n_steps,
        N_POINTS=cap, N_FEATURES=n, COUNT_BITS=(cap + 1).bit_length(), FEATURE_BITS=n.bit_length(), GROUP=GROUP,
        TOUCHED=groups_touched(samples), BLOCKS=_BLOCKS, num_warps=2,
    )  # fmt: skip
    return cells, uniforms, counts


@drawn_by_kernel.register_fake
def _(
    first_step: Any, keys: Any, blocks: Any, caps: Any, count_cdf: Any, rates: Any, samples: Any, n_steps: Any
) -> Any:
    return _outputs(keys, count_cdf, groups_touched(samples) * n_steps)


def _outputs(keys: Tensor, count_cdf: Tensor, n_groups: int) -> tuple[Tensor, Tensor, Tensor]:
    shape = (len(keys), n_groups, count_cdf.shape[1] - 1)
    return keys.new_empty(shape), count_cdf.new_empty(shape), keys.new_empty(shape[:2])
