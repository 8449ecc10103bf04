"""Saves the state of a run whose parameters are sharded: every rank its part, and the first rank deletes what is old.

The first rank says whether, where and under which mark; nothing is deleted before all have written, so that a kill at
any moment leaves the newest complete checkpoint.
"""

import errno
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from superdyn.runs.checkpoints import checkpoint_steps, delete_old, listed_as, write_checkpoint
from superdyn.runs.hashed_file import Entry
from superdyn.runs.manifest import withdraw
from superdyn.runs.shards import part_path
from superdyn.training.data_parallel import Ranks
from superdyn.training.sharding import Place


def save_shards(
    ranks: Ranks,
    directory: Path | None,
    step: int,
    state: Callable[[], Mapping[str, Tensor]],
    places: Callable[[], Mapping[str, Place]],
    meta: Mapping[str, Any] | None = None,
    scheduled: Collection[int] = (),
) -> None:
    """Write this rank's part of a checkpoint; all ranks call it at the same step.

    Args:
        ranks: all of the run.
        directory: the run folder's `checkpoints`, on the first rank; None there to save nothing.
        step: optimizer steps done.
        state, places: this rank's shards, and where they lie; asked for only if there is something to save.
        meta: numbers, strings, lists and dictionaries of those, on the first rank.
        scheduled: steps whose checkpoints stay.

    Raises:
        OSError: this rank or another could not write its part.
        ValueError: the parts of other machines do not appear in the folder.
    """
    names = [part_path(Path(), step, rank, ranks.size).name for rank in range(ranks.size)]
    if ranks.is_first and directory is not None:
        withdraw(directory.parent, *(listed_as(directory / name) for name in names))
    order = ranks.from_first(None if directory is None else (Path(directory), uuid.uuid4().hex, dict(meta or {})))
    if order is None:
        return
    directory, mark, meta = order
    where = {n: {"dim": p.dim, "start": p.start, "shape": list(p.shape)} for n, p in places().items()}
    content = {"step": step, "state": dict(state()), "meta": meta, "places": where, "mark": mark}
    failed: OSError | None = None
    entry: Entry | None = None
    try:
        entry = write_checkpoint(directory / names[ranks.rank], content)
    except OSError as error:  # raised only when the others know, who wait for this rank
        failed = error
    written = {name: found for name, found in zip(names, ranks.from_all(entry), strict=True) if found is not None}
    if failed is not None:
        raise failed
    if len(written) < ranks.size:
        raise OSError(errno.EIO, "another rank could not write its part of the checkpoint", str(directory))
    if ranks.is_first:
        if step not in checkpoint_steps(directory):
            raise ValueError(
                f"{directory}: has no parts of the ranks on other machines; trainer.strategy=fsdp needs a run folder "
                f"that all of them share."
            )
        delete_old(directory, scheduled, written, meta.get("signature", ""))
