"""What `status.json` says about a run, and when its word is out of date.

A process that is killed cannot correct its own "running", so readers check the heartbeat and, on the same
host, the process.
"""

import os
import socket
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

State = Literal["running", "done", "failed", "interrupted"]
STATES: tuple[State, ...] = ("running", "done", "failed", "interrupted")

STALE_AFTER_SECONDS = 600.0
"""Ten times the heartbeat's period: a running run that has been silent for longer is taken for dead."""


@dataclass(frozen=True)
class Status:
    """The content of `status.json`.

    Attributes:
        state: running, done, failed or interrupted.
        step: optimizer steps done; `max_steps`: those to do.
        signature: of the configuration; `name`: of the run's folder.
        error: one sentence when failed; `traceback`: where it happened.
        heartbeat: seconds since the epoch at the last write, by process `pid` on `host`.
    """

    state: State
    step: int
    max_steps: int
    signature: str
    name: str
    error: str | None = None
    traceback: str | None = None
    heartbeat: float = 0.0
    pid: int = 0
    host: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"state={self.state!r}: must be one of {', '.join(STATES)}")

    def stamped(self) -> dict[str, Any]:
        """Plain mapping with this moment's heartbeat, this process and this host."""
        return asdict(self) | {"heartbeat": time.time(), "pid": os.getpid(), "host": socket.gethostname()}

    def is_stale(self) -> bool:
        """True for a "running" whose process is gone or silent for ten minutes."""
        if self.state != "running":
            return False
        silent = time.time() - self.heartbeat > STALE_AFTER_SECONDS
        return silent or (self.host == socket.gethostname() and not _process_exists(self.pid))

    def is_live(self) -> bool:
        """True for a "running" whose process, here or on another host, still seems to be at work."""
        return self.state == "running" and not self.is_stale()


def _process_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists and belongs to someone else
        return True
    return True
