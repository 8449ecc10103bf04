"""Resumable state of one run: `step-<step>.pt`, the newest two kept, each file whole or absent.

A checkpoint is a flat dictionary of tensors (parameters, optimizer moments, counters) with plain Python
metadata, so that `torch.load` reads it without trusting code. Two are kept because the members of a pack
write one after the other: after a kill between two members the older step is the newest that all of them
have.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from superdyn.runs.atomic import remove_abandoned, write_atomically

KEPT = 2


class Checkpoint(NamedTuple):
    """The state of one run after `step` optimizer steps."""

    step: int
    state: dict[str, Tensor]
    meta: dict[str, Any]


def save_checkpoint(
    directory: str | Path, step: int, state: Mapping[str, Tensor], meta: Mapping[str, Any] | None = None
) -> Path:
    """Write the state atomically, then delete all but the newest two checkpoints.

    Args:
        directory: the run folder's `checkpoints`.
        step: optimizer steps done.
        state: tensors by name; they are copied to the CPU.
        meta: numbers, strings, lists and dictionaries of those.
    """
    directory = Path(directory)
    path = directory / f"step-{step:010d}.pt"
    # A view of a stacked tensor would drag the whole pack's storage into the file.
    tensors = {name: value.detach().to("cpu").clone() for name, value in state.items()}
    content = {"step": step, "state": tensors, "meta": dict(meta or {})}
    write_atomically(path, lambda file: torch.save(content, file))
    remove_abandoned(directory)
    for old in checkpoint_steps(directory)[:-KEPT]:
        (directory / f"step-{old:010d}.pt").unlink(missing_ok=True)
    return path


def checkpoint_steps(directory: str | Path) -> list[int]:
    """The steps at which checkpoints exist, ascending; they may still prove unreadable."""
    matches = (re.fullmatch(r"step-(\d{10})\.pt", path.name) for path in Path(directory).glob("step-*.pt"))
    return sorted(int(match.group(1)) for match in matches if match)


def load_checkpoint(directory: str | Path, step: int) -> Checkpoint | None:
    """The checkpoint of this step on the CPU; None, with a warning that names the file, if it is damaged."""
    path = Path(directory) / f"step-{step:010d}.pt"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        return Checkpoint(content["step"], content["state"], content["meta"])
    except Exception as error:  # torch raises whatever the damaged bytes provoke
        warnings.warn(f"{path} cannot be read, an older checkpoint is used: {error}", stacklevel=2)
        return None


def load_latest(directory: str | Path) -> Checkpoint | None:
    """The newest readable checkpoint, None if there is none."""
    for step in reversed(checkpoint_steps(directory)):
        checkpoint = load_checkpoint(directory, step)
        if checkpoint is not None:
            return checkpoint
    return None


def load_common(directories: Sequence[str | Path]) -> list[Checkpoint] | None:
    """The checkpoints, one per member, of the newest step that every member of a pack can resume from.

    Returns:
        None if the members share no readable step; they then start over or resume apart.
    """
    shared = set.intersection(*(set(checkpoint_steps(directory)) for directory in directories))
    for step in sorted(shared, reverse=True):
        members = [load_checkpoint(directory, step) for directory in directories]
        whole = [member for member in members if member is not None]
        if len(whole) == len(members):
            return whole
    return None
