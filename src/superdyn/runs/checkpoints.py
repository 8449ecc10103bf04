"""Resumable state of one run: `step-<step>.pt`, the newest two and the scheduled ones kept, each whole or absent.

A checkpoint is a flat dictionary of tensors (parameters, optimizer moments, counters) with plain Python
metadata, so that `torch.load` reads it without trusting code. Two are kept because the members of a pack
write one after the other: after a kill between two members the older step is the newest that all of them
have. A run whose parameters are sharded leaves a file a rank for a step (`shards.py`), all of them or none.
"""

import re
import warnings
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from superdyn.atomic import remove_abandoned
from superdyn.runs.hashed_file import Entry, write_hashed
from superdyn.runs.manifest import damage, enter, withdraw
from superdyn.runs.shards import SavedState, complete, files_by_step, incomplete, step_of

KEPT = 2


class Checkpoint(NamedTuple):
    """The state of one run after `step` optimizer steps."""

    step: int
    state: Mapping[str, Tensor]
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
    tensors = {name: _alone(value.detach().to("cpu")) for name, value in state.items()}
    withdraw(directory.parent, listed_as(path))
    entry = write_checkpoint(path, {"step": step, "state": tensors, "meta": dict(meta or {})})
    delete_old(directory, scheduled, {path.name: entry}, (meta or {}).get("signature", ""))
    return path


def write_checkpoint(path: Path, content: Mapping[str, Any]) -> Entry:
    """Write one file of tensors and plain values atomically; its length and digest are for the run's manifest."""
    return write_hashed(path, lambda file: torch.save(content, file))


def delete_old(
    directory: Path, scheduled: Collection[int] = (), written: Mapping[str, Entry] | None = None, signature: str = ""
) -> None:
    """Delete all but the newest two checkpoints and those of scheduled steps, and what killed writers left.

    Args:
        directory: the run folder's `checkpoints`.
        scheduled: steps whose checkpoints stay.
        written: what `write_checkpoint` said of new files, by name, for the manifest of the run with this signature.
    """
    remove_abandoned(directory)
    kept = {*checkpoint_steps(directory)[-KEPT:], *scheduled}
    _drop(directory, lambda step: step not in kept, written, signature)


def _alone(tensor: Tensor) -> Tensor:
    """A copy only of a view, which would drag the storage of a whole pack into the file."""
    return tensor if tensor.untyped_storage().nbytes() == tensor.nbytes else tensor.clone()


def checkpoint_steps(directory: str | Path) -> list[int]:
    """The steps at which checkpoints exist, ascending; they may still prove unreadable."""
    return [step for step, files in files_by_step(Path(directory)).items() if complete(files)]


def drop_later(directory: str | Path, step: int) -> None:
    """Delete the checkpoints of later steps than this, newest first, so that the rest is what a run at `step` has.

    Incomplete ones go too: no later save may complete what another attempt began.
    """
    _drop(Path(directory), lambda later: later > step)


def _drop(
    directory: Path, goes: Callable[[int], bool], written: Mapping[str, Entry] | None = None, signature: str = ""
) -> None:
    """Delete the files of some steps, and incomplete sets of any, newest first; the manifest is brought up to date.

    What goes leaves the list first, where what was written enters it.
    """
    going = [
        p for step, files in files_by_step(directory).items() for p in (files if goes(step) else incomplete(files))
    ]
    names = {listed_as(path) for path in going}

    def leaves(name: str) -> bool:
        folder, _, file = name.rpartition("/")
        step = step_of(file)
        return name in names or (folder == directory.name and step is not None and goes(step))

    entries = {listed_as(directory / name): entry for name, entry in (written or {}).items()}
    enter(directory.parent, entries, signature, leaves)
    for path in reversed(going):
        path.unlink(missing_ok=True)


def listed_as(path: Path) -> str:
    """A checkpoint file's name in the manifest."""
    return f"{path.parent.name}/{path.name}"


def load_checkpoint(directory: str | Path, step: int, *, mapped: bool = False) -> Checkpoint | None:
    """The checkpoint of this step on the CPU; None, with a warning naming the file, if it is damaged or has code.

    With `mapped` its state is read when asked for, by a rank that wants its shards only (`SavedState`).
    """
    for files in complete(files_by_step(Path(directory)).get(step, [])):
        reasons = ((path, damage(path.parents[1], listed_as(path))) for path in files)
        path, reason = next(((path, reason) for path, reason in reasons if reason is not None), (files[0], None))
        try:
            if reason is None:
                return _read(files, mapped)
        except Exception as error:  # torch raises whatever the damaged bytes provoke
            reason = reason_of(error)
        warnings.warn(f"{path} cannot be read, an older checkpoint is used: {reason}", stacklevel=2)
    return None


def _read(files: Sequence[Path], mapped: bool) -> Checkpoint:
    if not mapped and len(files) == 1:
        content = torch.load(files[0], map_location="cpu", weights_only=True)
        return Checkpoint(content["step"], content["state"], content["meta"])
    saved = SavedState(files)
    saved.check()
    checkpoint = Checkpoint(saved.step, saved if mapped else dict(saved), saved.meta)
    saved.close()
    return checkpoint


def reason_of(error: Exception) -> str:
    """The error in one line, without torch's advice to load whatever the file holds."""
    if named := re.search(r"Unsupported \w+: GLOBAL (\S+)", str(error)):
        return f"it names {named[1]}, and a checkpoint may hold tensors and plain values only"
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


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
