"""Resumable state of one run: `step-<step>.pt`, the newest two and the scheduled ones kept, each whole or absent.

A checkpoint is a flat dictionary of tensors (parameters, optimizer moments, counters) with plain Python
metadata, so that `torch.load` reads it without trusting code. Two are kept because the members of a pack
write one after the other: after a kill between two members the older step is the newest that all of them
have.
"""

import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from superdyn.atomic import remove_abandoned, write_atomically

KEPT = 2


class Checkpoint(NamedTuple):
    """The state of one run after `step` optimizer steps."""

    step: int
    state: dict[str, Tensor]
    meta: dict[str, Any]


def save_checkpoint(
    directory: str | Path,
    step: int,
    state: Mapping[str, Tensor],
    meta: Mapping[str, Any] | None = None,
    scheduled: Collection[int] = (),
) -> Path:
    """Write the state atomically, then delete all but the newest two checkpoints and those of scheduled steps.

    Args:
        directory: the run folder's `checkpoints`.
        step: optimizer steps done.
        state: tensors by name; they are copied to the CPU.
        meta: numbers, strings, lists and dictionaries of those.
        scheduled: steps whose checkpoints stay.
    """
    directory = Path(directory)
    path = directory / f"step-{step:010d}.pt"
    # A view of a stacked tensor would drag the whole pack's storage into the file.
    tensors = {name: value.detach().to("cpu").clone() for name, value in state.items()}
    content = {"step": step, "state": tensors, "meta": dict(meta or {})}
    write_atomically(path, lambda file: torch.save(content, file))
    remove_abandoned(directory)
    for old in set(checkpoint_steps(directory)[:-KEPT]).difference(scheduled):
        (directory / f"step-{old:010d}.pt").unlink(missing_ok=True)
    return path


def checkpoint_steps(directory: str | Path) -> list[int]:
    """The steps at which checkpoints exist, ascending; they may still prove unreadable."""
    matches = (re.fullmatch(r"step-(\d{10})\.pt", path.name) for path in Path(directory).glob("step-*.pt"))
    return sorted(int(match.group(1)) for match in matches if match)


def drop_later(directory: str | Path, step: int) -> None:
    """Delete the checkpoints of later steps than this, newest first, so that the rest is what a run at `step` has."""
    for later in reversed([later for later in checkpoint_steps(directory) if later > step]):
        (Path(directory) / f"step-{later:010d}.pt").unlink(missing_ok=True)


def load_checkpoint(directory: str | Path, step: int) -> Checkpoint | None:
    """The checkpoint of this step on the CPU; None, with a warning naming the file, if it is damaged or has code."""
    path = Path(directory) / f"step-{step:010d}.pt"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return Checkpoint(content["step"], content["state"], content["meta"])
    except Exception as error:  # torch raises whatever the damaged bytes provoke
        warnings.warn(f"{path} cannot be read, an older checkpoint is used: {_reason(error)}", stacklevel=2)
        return None


def _reason(error: Exception) -> str:
    """The error in one line, without torch's advice to load whatever the file holds."""
    if named := re.search(r"Unsupported \w+: GLOBAL (\S+)", str(error)):
        return f"it names {named[1]}, and a checkpoint may hold tensors and plain values only"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def load_latest(directory: str | Path) -> Checkpoint | None:
    """The newest readable checkpoint, None if there is none."""
    for step in reversed(checkpoint_steps(directory)):
        checkpoint = load_checkpoint(directory, step)
        if checkpoint is not None:
            return checkpoint
    return None


def resume_groups(directories: Sequence[str | Path]) -> list[tuple[int, list[int]]]:
    """Members of a pack by the step at which they can go on together, by the names of their checkpoints.

    A pack that was killed while its members wrote one after the other has two newest steps; the older one, which the
    others still keep, holds it together.

    Returns:
        (step, indices into `directories`), ascending; step 0 for members without a checkpoint.
    """
    left = {i: checkpoint_steps(directory) or [0] for i, directory in enumerate(directories)}
    groups = []
    while left:
        step = min(steps[-1] for steps in left.values())
        together = [i for i, steps in left.items() if step in steps]
        groups.append((step, together))
        left = {i: steps for i, steps in left.items() if i not in together}
    return groups
