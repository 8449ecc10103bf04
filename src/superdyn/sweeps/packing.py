"""Which points train together: those of one pack key, one batch form and one resume step, in packs that fit memory."""

import warnings
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from superdyn.config import RunConfig
from superdyn.features.batching import head_size
from superdyn.runs.checkpoints import Checkpoint, checkpoint_steps, drop_later, load_checkpoint, resume_groups
from superdyn.runs.record import Record
from superdyn.sweeps.member_memory import member_bytes
from superdyn.sweeps.points import Point
from superdyn.training.grid import measurement_steps
from superdyn.training.memory import free_bytes

_MEMORY_SHARE = 0.5
"""Of the memory that is free; the estimate of a member is good to a factor of about 1.5."""


@dataclass(frozen=True)
class Pack:
    """Points that train as stacked tensors from one step on.

    Attributes:
        resumed: their checkpoints, once they are loaded.
        starts: those of other runs that they start from, likewise.
    """

    points: tuple[Point, ...]
    start_step: int = 0
    resumed: tuple[Checkpoint, ...] = ()
    starts: tuple[Checkpoint | None, ...] = ()


def make_packs(
    points: Sequence[Point], parts: int = 1, memory_share: float = 1.0, limit: int | None = None
) -> list[Pack]:
    """Group points, keeping their order; members of one pack start at the same step.

    Args:
        points: what to train.
        parts: how many packs a group of one shape is cut into, at least, where it has the points.
        memory_share: the part of the free memory that a pack may count on.
        limit: most members of a pack, besides `launcher.max_pack_size`.
    """
    packs = []
    for members in split_groups(points, parts):
        size = pack_size(members[0].config, memory_share)
        size = size if limit is None else min(size, limit)
        for step, indices in resume_groups([point.folder.checkpoints for point in members]):
            group = [members[i] for i in indices]
            packs += [Pack(tuple(group[start : start + size]), step) for start in range(0, len(group), size)]
    return packs


def pack_groups(points: Sequence[Point]) -> list[list[Point]]:
    """Points that can share a pack, by all but the step at which they resume."""
    groups: dict[tuple[str, int], list[Point]] = {}
    for point in points:
        # The width of the dense head follows a run's own frequencies, so that its bits do not depend on its companions.
        groups.setdefault((point.config.pack_key(), head_size(point.config.data)), []).append(point)
    return list(groups.values())


def split_groups(points: Sequence[Point], parts: int) -> list[list[Point]]:
    """Groups that can share a pack, each cut into up to `parts` of about one size, for as many workers."""
    pieces = []
    for group in pack_groups(points):
        size = -(-len(group) // parts)
        pieces += [group[start : start + size] for start in range(0, len(group), size)]
    return pieces


def count_pieces(group_sizes: Sequence[int], parts: int) -> int:
    """How many pieces `split_groups` makes of groups of these sizes."""
    return sum(-(-size // -(-size // parts)) for size in group_sizes)


def loaded(pack: Pack) -> list[Pack]:
    """The pack with its checkpoints; members whose files prove damaged go on from an earlier step, in packs apart.

    Later checkpoints are deleted: with the curve cut back to the step that training goes on from, they would pass for
    its end when the run is next interrupted.
    """
    parts = _parts(pack)
    for part in parts:
        for point in part.points:
            drop_later(point.folder.checkpoints, part.start_step)
    return parts


def _parts(pack: Pack) -> list[Pack]:
    if pack.start_step == 0:
        return [pack]
    found = [(point, _checkpoint(point, pack.start_step)) for point in pack.points]
    together = [(point, c) for point, c in found if c is not None and c.step == pack.start_step]
    packs = [Pack(tuple(p for p, _ in together), pack.start_step, tuple(c for _, c in together))] if together else []
    for point, checkpoint in found:
        if checkpoint is None:
            packs.append(Pack((point,)))
        elif checkpoint.step != pack.start_step:
            packs.append(Pack((point,), checkpoint.step, (checkpoint,)))
    return packs


def _checkpoint(point: Point, newest: int) -> Checkpoint | None:
    """The newest checkpoint up to this step that can be read and whose curve and spectrum can; None to start over."""
    for step in reversed([step for step in checkpoint_steps(point.folder.checkpoints) if 0 < step <= newest]):
        checkpoint = load_checkpoint(point.folder.checkpoints, step, mapped=point.config.trainer.shards)
        if checkpoint is None:
            continue
        try:
            rows = len(Record.resumed(point.folder, step))
        except ValueError as error:
            warnings.warn(f"{error}; the run restarts from step 0", stacklevel=2)
            return None
        trainer = point.config.trainer
        if rows != bisect_right(measurement_steps(trainer.max_steps, trainer.points_per_decade), step):
            warnings.warn(f"{point.folder.path}: the curve lacks rows; the run restarts from step 0", stacklevel=2)
            return None
        return checkpoint
    return None


def pack_size(config: RunConfig, memory_share: float = 1.0) -> int:
    """How many members of this shape train at once: `launcher.max_pack_size`, or what half of the free memory holds.

    A model whose parameters are sharded trains alone.
    """
    if config.trainer.shards:
        return 1
    fitting = max(1, int(_MEMORY_SHARE * memory_share * free_bytes(config) / member_bytes(config)))
    return config.launcher.max_pack_size or fitting
