"""Which process wrote a file, and whether it is still the one at work.

A process number alone is used again by the system; with the moment its process began, counted in clock ticks since the
machine started, it names one process, and no change of the wall clock matters.
"""

import os
from functools import cache
from pathlib import Path

_START_FIELD = 22
"""Of /proc/PID/stat, see proc(5); elsewhere the process number has to do."""


def process_began(pid: int) -> str:
    """When the process began, as the kernel counts it; empty if it is gone or the kernel does not say."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    # The second field is the program's name in parentheses, which may hold spaces and parentheses itself.
    state, *fields = text.rpartition(")")[2].split()
    return "" if state in "ZX" else fields[_START_FIELD - 4]


@cache
def _own(pid: int) -> str:
    return process_began(pid)


def this_process() -> tuple[int, str]:
    """(number, beginning) of this process."""
    pid = os.getpid()
    return pid, _own(pid)


def is_alive(pid: int, began: str) -> bool:
    """Whether that process still runs on this machine; `began` empty means that its beginning is not known."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it exists and belongs to someone else
        pass
    now = process_began(pid)
    return not (began and now != began)
