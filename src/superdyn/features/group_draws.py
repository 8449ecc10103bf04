"""The cells and values of groups of 64 samples as functions of a stream's words, on any device.

A GPU with Triton draws by one kernel, which is also compiled many times faster than what torch makes of the same
arithmetic; elsewhere torch computes it. Both give the words, counts and cells of `SparseSampler`, bit for bit.
Axis legend: `r` run, `g` group, `w` word, `m` point, `n` feature.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from superdyn.features.philox import philox_uniforms
from superdyn.features.sampler import GROUP, group_blocks, groups_touched
from superdyn.kernels import AVAILABLE

_BLOCKS = 64
"""Of four words each, that a program of the kernel draws."""


class GroupTables(NamedTuple):
    """What the draws of a pack are functions of, besides the step.

    Attributes:
        keys: of Philox, both words.
        blocks: of four words each, in a group.
        caps: most points of a group, of which the table of counts has one entry more.
        certain: how many features, the first ones, every sample has.
        count_cdf: P(count ≤ w), ones past the cap.
        rates: cumulative, of the other features, repeating the last.
    """

    keys: Int64[Tensor, "r 2"]
    blocks: Int64[Tensor, "r"]
    caps: Int64[Tensor, "r"]
    certain: Int64[Tensor, "r"]
    count_cdf: Float64[Tensor, "r w"]
    rates: Float64[Tensor, "r n"]


class GroupPoints(NamedTuple):
    """All points that groups may have, of which the first `counts` are drawn.

    Attributes:
        cells: sample of the group · N + feature.
        uniforms: of which the values are quantiles: of the points, then of every sample's `most_certain` features.
    """

    cells: Int64[Tensor, "r g m"]
    uniforms: Float64[Tensor, "r g v"]
    counts: Int64[Tensor, "r g"]


class BatchSpan(NamedTuple):
    """Which groups are drawn.

    Attributes:
        samples: of a batch.
        n_steps: batches, one after the other.
        most_certain: the greatest of `GroupTables.certain`.
    """

    samples: int
    n_steps: int
    most_certain: int


def draw_groups(tables: GroupTables, first_step: int | Int64[Tensor, ""], batches: BatchSpan) -> GroupPoints:
    """Points of the groups in which batches lie, from that of `first_step` on.

    Each step has its own `groups_touched(samples)`, so one that two batches share is there twice.
    """
    if AVAILABLE and tables.keys.is_cuda:
        first = torch.as_tensor(first_step, dtype=torch.int64, device=tables.keys.device)
        return GroupPoints(*drawn_by_kernel(first, *tables, *batches))
    return drawn_by_torch(tables, first_step, batches)


def drawn_by_torch(tables: GroupTables, first_step: int | Int64[Tensor, ""], batches: BatchSpan) -> GroupPoints:
    """`draw_groups` by operations of torch."""
    (keys, blocks, caps, certain, count_cdf, rates), (samples, n_steps, most) = tables, batches
    cap, n, device = count_cdf.shape[1] - 1, rates.shape[1], keys.device
    start = (first_step + torch.arange(n_steps, device=device)) * samples // GROUP
    groups = (start[:, None] + torch.arange(groups_touched(samples), device=device)).flatten()
    block = groups[:, None] * blocks[:, None, None] + torch.arange(group_blocks(cap, most), device=device)
    key = keys[:, :, None, None].expand(-1, -1, *block.shape[1:])
    u = philox_uniforms(block, key[:, 0], key[:, 1]).flatten(2)
    counts = torch.searchsorted(count_cdf, u[:, :, 0].contiguous(), right=True)
    place = u[:, :, 1 : 1 + cap] * GROUP
    sample = place.long()
    found = ((place - sample) * rates[:, -1, None, None]).flatten(1)
    feature = torch.searchsorted(rates, found, right=True).view_as(sample) + certain[:, None, None]
    word = 1 + torch.arange(cap, device=device) + caps[:, None]
    if most:
        each, of_sample = torch.arange(GROUP, device=device)[:, None], torch.arange(most, device=device)
        offset = each * certain[:, None, None] + of_sample
        word = torch.cat([word, (1 + 2 * caps[:, None, None] + offset).flatten(1)], dim=1)
    uniforms = u.gather(2, word[:, None].expand(-1, u.shape[1], -1).clamp(max=u.shape[2] - 1))
    return GroupPoints(sample * n + feature.clamp(max=n - 1), uniforms, counts)


@torch.library.custom_op("superdyn::draw_groups", mutates_args=())
def drawn_by_kernel(
    first_step: torch.Tensor,
    keys: torch.Tensor,
    blocks: torch.Tensor,
    caps: torch.Tensor,
    certain: torch.Tensor,
    count_cdf: torch.Tensor,
    rates: torch.Tensor,
    samples: int,
    n_steps: int,
    most_certain: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """`draw_groups` by Triton's kernel; what a member has fewer of than another may be anything."""
    from superdyn.kernels.draws import points_of_words

    outputs = cells, uniforms, counts = _outputs(keys, count_cdf, samples, n_steps, most_certain)
    cap, n = cells.shape[2], rates.shape[1]
    programs = -(-group_blocks(cap, most_certain) // _BLOCKS)
    points_of_words[(counts.numel() * programs,)](  # pyright: ignore[reportIndexIssue]
        first_step, keys, blocks, caps, certain, count_cdf, rates, *outputs, samples, n_steps,
        N_POINTS=cap, N_VALUES=uniforms.shape[2], MOST_CERTAIN=most_certain, N_FEATURES=n,
        COUNT_BITS=(cap + 1).bit_length(), FEATURE_BITS=n.bit_length(), GROUP=GROUP, TOUCHED=groups_touched(samples),
        PROGRAMS=programs, BLOCKS=_BLOCKS, num_warps=2,
    )  # fmt: skip
    return outputs


@drawn_by_kernel.register_fake
def _(
    first_step: Any, keys: Any, blocks: Any, caps: Any, certain: Any, count_cdf: Any, rates: Any, samples: Any,
    n_steps: Any, most_certain: Any,
) -> Any:  # fmt: skip
    return _outputs(keys, count_cdf, samples, n_steps, most_certain)


def _outputs(
    keys: Tensor, count_cdf: Tensor, samples: int, n_steps: int, most_certain: int
) -> tuple[Tensor, Tensor, Tensor]:
    of_groups, cap = (len(keys), groups_touched(samples) * n_steps), count_cdf.shape[1] - 1
    uniforms = count_cdf.new_empty(*of_groups, cap + GROUP * most_certain)
    return keys.new_empty(*of_groups, cap), uniforms, keys.new_empty(of_groups)
