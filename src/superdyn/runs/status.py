"""What `status.json` says about a run, and when its word is out of date.

A process that is killed cannot correct its own "running", so readers look for the process on its own host, and
elsewhere at the heartbeat.
"""

import socket
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from superdyn.runs.process import is_alive, this_process

State = Literal["running", "done", "failed", "interrupted"]
STATES: tuple[State, ...] = get_args(State)

STALE_AFTER_SECONDS = 600.0
"""Ten times the heartbeat's period: a run on another host that has been silent for longer is taken for dead. A
heartbeat that lies further in the future than this says no more than silence does: some clock has been changed."""


@dataclass(frozen=True)
class Status:
    """The content of `status.json`.

    Attributes:
        state: running, done, failed or interrupted.
        step: optimizer steps done; `max_steps`: those to do.
        signature: of the configuration; `name`: of the run's folder.
        error: one sentence when failed; `traceback`: where it happened.
        heartbeat: seconds since the epoch at the last write, by process `pid`, which `began` then, on `host`.
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
    began: str = ""
    host: str = ""

    def __post_init__(self) -> None:
        if self.state not in STATES:
            raise ValueError(f"state={self.state!r}: must be one of {', '.join(STATES)}")

    def stamped(self) -> dict[str, Any]:
        """Plain mapping with this moment's heartbeat, this process and this host."""
        pid, began = this_process()
        return asdict(self) | {"heartbeat": time.time(), "pid": pid, "began": began, "host": socket.gethostname()}

    def is_ours(self) -> bool:
        """Whether this process wrote it."""
        return (self.pid, self.began, self.host) == (*this_process(), socket.gethostname())

    def is_stale(self) -> bool:
        """True for a "running" whose process is gone from this host, or silent for ten minutes on another."""
        if self.state != "running":
            return False
        if self.host == socket.gethostname():
            return not is_alive(self.pid, self.began)
        return abs(time.time() - self.heartbeat) > STALE_AFTER_SECONDS

    def is_live(self) -> bool:
        """True for a "running" whose process, here or on another host, still seems to be at work."""
        return self.state == "running" and not self.is_stale()
