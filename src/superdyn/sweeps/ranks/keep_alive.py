"""Has the kernel notice that another machine is gone: without power or cable it closes no connection.

Sockets of gloo and of torch's store wait for an answer as long as it takes; the ranks that are left would stand in an
exchange for half an hour. With TCP's own probes the kernel ends such a connection after `LOST_SECONDS`, and whoever
waits on it gets an error.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path

LOST_SECONDS = 60
"""How long a machine may be out of reach."""

_PROBES = 4

_AGAIN_SECONDS = 10.0

_OPEN_FILES = Path("/proc/self/fd")


def keep_noticing_lost_machines() -> None:
    """As `notice_lost_machines`, for connections too that this process will make, from a thread of its own."""

    def repeat() -> None:
        while True:
            notice_lost_machines()
            time.sleep(_AGAIN_SECONDS)

    threading.Thread(target=repeat, daemon=True).start()


def notice_lost_machines() -> None:
    """Set the probes on every TCP connection that this process has; elsewhere than on Linux, nothing."""
    if not _OPEN_FILES.is_dir():
        return
    for name in os.listdir(_OPEN_FILES):
        with suppress(OSError):  # closed by now, or no socket
            if os.readlink(_OPEN_FILES / name).startswith("socket:"):
                _probe(int(name))


def _probe(number: int) -> None:
    with socket.socket(fileno=os.dup(number)) as connection:  # closes the copy; the options are the connection's
        if connection.family not in (socket.AF_INET, socket.AF_INET6) or connection.type != socket.SOCK_STREAM:
            return
        every = LOST_SECONDS // _PROBES
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in (
            (socket.TCP_KEEPIDLE, every),
            (socket.TCP_KEEPINTVL, every),
            (socket.TCP_KEEPCNT, _PROBES - 1),
            (socket.TCP_USER_TIMEOUT, 1000 * LOST_SECONDS),
        ):
            connection.setsockopt(socket.IPPROTO_TCP, option, value)
