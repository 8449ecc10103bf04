"""Whether all machines see the folder of a sharded run, of which every rank writes its own part of a checkpoint."""

import time
import uuid
from contextlib import suppress
from pathlib import Path

from superdyn.config import ConfigError
from superdyn.training.data_parallel import Ranks

_PATIENCE_SECONDS = 15.0
"""How long a new file may take to appear on another machine."""


def check_shared(ranks: Ranks, folder: Path) -> None:
    """Refuse a folder that some rank does not see under the path that the first rank has for it.

    Raises:
        ConfigError: on all ranks.
    """
    mark = None
    if ranks.is_first:
        with suppress(OSError):  # a folder that cannot be written is refused elsewhere
            folder.mkdir(parents=True, exist_ok=True)
            mark = folder.absolute() / f".seen-{uuid.uuid4().hex[:8]}"
            mark.touch()
    mark = ranks.from_first(mark)
    blind = [rank for rank, sees in enumerate(ranks.from_all(mark is None or _appears(mark))) if not sees]
    if ranks.is_first and mark is not None:
        mark.unlink(missing_ok=True)
    if blind:
        raise ConfigError(
            f"{folder.absolute()}: not seen by ranks {', '.join(map(str, blind))}; trainer.strategy=fsdp needs a run "
            f"folder that all machines share, under the same path."
        )


def _appears(file: Path) -> bool:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not file.exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
