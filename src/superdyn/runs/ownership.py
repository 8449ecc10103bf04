"""Who may train a run: several processes can work on one sweep, and no run is trained twice.

A process takes runs under the sweep's lock (`sweeps/launch.py`), by writing its own "running" to each; from then on
`Status.is_live` tells the others to keep away until it is done, interrupted or dead. The lock is held for that moment
only; it is `flock` where the file system has it, else a lock file.
"""

from pathlib import Path

from filelock import BaseFileLock, FileLock

from superdyn.runs.folder import RunFolder
from superdyn.runs.status import Status

LOCK = ".lock"
PATIENCE_SECONDS = 120.0
"""No one holds the lock for longer than it takes to read and write a small file per run."""


def sweep_lock(sweep_dir: Path) -> BaseFileLock:
    """Alone in this sweep's folder for a moment, in a `with`.

    Raises:
        filelock.Timeout: on entry, if someone else holds it for more than two minutes.
    """
    return FileLock(sweep_dir / LOCK, timeout=PATIENCE_SECONDS)


def current_status(folder: RunFolder) -> Status | None:
    """The run's status; None, as for a run that never began, where the file is not whole."""
    try:
        return folder.status()
    except ValueError:
        return None
