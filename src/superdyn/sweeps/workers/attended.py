"""A worker process on a machine that may vanish: it is started, told to stop, and its runs are freed when it is gone.

Who trains is written beside the task. A later attempt at the same task, or the launching machine, can then free the
runs of a worker that died on another host at once, where everyone else has to wait for its heartbeat to go stale.
Imports no torch, so that a cluster job that only attends its worker starts at once.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from superdyn.atomic import write_atomically
from superdyn.runs.folder import RunFolder
from superdyn.runs.ownership import current_status, sweep_lock
from superdyn.runs.process import is_alive, process_began
from superdyn.sweeps.ranks.group import SAFE_PATH, TERMINATED, worker_command

STOP_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
"""What schedulers announce the end of a job with, to every process of it; the worker's parent answers for both."""

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Worker:
    """The process that trains a task, or did; `code` is what it ended with, None while an end is not known."""

    host: str
    pid: int
    began: str
    code: int | None = None

    @classmethod
    def read(cls, task: Path) -> "Worker | None":
        """The task's last worker, or None if it never had one."""
        path = _record(task)
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def write(self, task: Path) -> None:
        """Replace what is written beside the task."""
        write_atomically(_record(task), lambda file: file.write(json.dumps(asdict(self)).encode()))

    def has_ended(self) -> bool:
        """Whether it came to its end; one that was told to stop may be started again by the scheduler."""
        return self.code is not None and self.code != TERMINATED

    def is_alive_here(self) -> bool:
        """Whether it still runs on this machine."""
        return self.host == socket.gethostname() and is_alive(self.pid, self.began)


def attend(task: Path, stop: Callable[[], bool], environment: Mapping[str, str], log: IO[bytes] | None = None) -> int:
    """Have a worker train the task, after an earlier one if there was any, and tell it to save and end on `stop()`.

    Args:
        task: file of a `Task`.
        stop: asked several times a second.
        environment: set for the worker on top of this process's own.
        log: where the worker writes; None for where this process does.

    Returns:
        The exit codes of `worker`, 128 + n after signal n.
    """
    free_runs(task)
    process = _started(task, environment, log)
    try:
        Worker(socket.gethostname(), process.pid, process_began(process.pid)).write(task)
        while process.poll() is None:
            if stop():
                break
            time.sleep(_POLL_SECONDS)
    finally:
        process.terminate()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
    free_runs(task)
    return process.returncode if process.returncode >= 0 else 128 - process.returncode


def note_end(task: Path, code: int) -> None:
    """Write down what the task's worker ended with."""
    worker = Worker.read(task)
    if worker is not None:
        replace(worker, code=code).write(task)


def free_runs(task: Path) -> None:
    """Mark as interrupted what the task's last worker, which is known to be gone, has left as running."""
    worker = Worker.read(task)
    if worker is None:
        return
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while worker.is_alive_here() and time.monotonic() < deadline:  # it is saving its runs
        time.sleep(_POLL_SECONDS)
    if worker.is_alive_here():
        return
    content = json.loads(task.read_text(encoding="utf-8"))
    sweep_dir = Path(content["sweep_dir"])
    with sweep_lock(sweep_dir):
        for folder in (RunFolder(sweep_dir / name) for name in content["folders"]):
            status = current_status(folder)
            if status is None or status.state != "running":
                continue
            if (status.host, status.pid, status.began) == (worker.host, worker.pid, worker.began):
                folder.write_status(replace(status, state="interrupted"))


def _started(task: Path, environment: Mapping[str, str], log: IO[bytes] | None) -> "subprocess.Popen[bytes]":
    n_ranks = json.loads(task.read_text(encoding="utf-8"))["n_ranks"]
    # A blocked signal stays blocked in the child: these reach every process of a job and would end it in mid-step.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        return subprocess.Popen(
            worker_command(n_ranks, [str(task), "--end-with-parent"]),
            stdin=subprocess.PIPE, stdout=log, stderr=None if log is None else subprocess.STDOUT,
            env={**os.environ, **SAFE_PATH, **environment},
        )  # fmt: skip
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _record(task: Path) -> Path:
    return task.with_suffix(".worker")
