"""Whether a checkpoint can be read without trusting it, and whether it is of the run in whose folder it lies.

`torch.load` does not look at the checksums inside the file; where no manifest vouches for the bytes, they are what is
there to find a flipped bit by. Tensors are mapped and not read.
"""

import zipfile
from collections.abc import Collection
from pathlib import Path

import torch

from superdyn.runs.checkpoints import reason_of
from superdyn.runs.shards import step_of


def checkpoint_problem(path: Path, signatures: Collection[str] | None, hashed: bool) -> tuple[str, str] | None:
    """What is wrong with a checkpoint, as a kind and in words; None if nothing is.

    Args:
        path: of the file.
        signatures: under which the run was known while it was trained; None if that is not known.
        hashed: whether the bytes are known to be those that were written.
    """
    if not hashed and (found := _checksums(path)) is not None:
        return "unreadable", found
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        step, signature = content["step"], content["meta"].get("signature")
    except Exception as error:  # torch raises whatever the bytes provoke
        return "unreadable", reason_of(error)
    if step_of(path.name) != step:
        return "another checkpoint", f"it is of step {step}"
    if signatures is not None and signature is not None and signature not in signatures:
        return "another run", f"it is of the run with signature {str(signature)[:8]}"
    return None


def _checksums(path: Path) -> str | None:
    """The first part of the file that is not what was written, by the checksums that every part carries."""
    try:
        with zipfile.ZipFile(path) as archive:
            part = archive.testzip()
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError) as error:
        return f"it may be cut short: {error}"
    return None if part is None else f"the checksum of {part} does not fit"
