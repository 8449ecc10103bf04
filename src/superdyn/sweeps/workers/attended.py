"""A worker process on a machine that may vanish: it is started, told to stop, and its runs are freed when it is gone.

Who trains is written beside the task: the worker and, where that is a group of ranks, the first of them, whose name the
runs bear. A later attempt at the same task, or the launching machine, can then free the
runs of a worker that died on another host at once, where everyone else has to wait for its heartbeat to go stale.
Imports no torch, so that a cluster job that only attends its worker starts at once.
"""

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from superdyn.atomic import write_text_atomically
from superdyn.runs.ownership import current_status, sweep_lock
from superdyn.runs.process import is_alive, process_began
from superdyn.sweeps.exit_codes import TERMINATED, exit_code
from superdyn.sweeps.ranks.group import Node, start_worker
from superdyn.sweeps.workers.task import Task

STOP_SIGNALS = (signal.SIGUSR1, signal.SIGUSR2)
"""What schedulers announce the end of a job with, to every process of it; the worker's parent answers for both."""

_WORKER, _FIRST_RANK = ".worker", ".rank"
"""Of the files beside the task."""

_POLL_SECONDS = 0.1
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class WorkerRecord:
    """The process that trains a task, or did; `code` is what it ended with, None while an end is not known."""

    host: str
    pid: int
    began: str
    code: int | None = None

    @classmethod
    def of(cls, pid: int) -> "WorkerRecord":
        """A process on this machine."""
        return cls(socket.gethostname(), pid, process_began(pid))

    @classmethod
    def read(cls, task: Path, suffix: str = _WORKER) -> "WorkerRecord | None":
        """The task's last worker, or None if it never had one."""
        path = task.with_suffix(suffix)
        return cls(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None

    def write(self, task: Path, suffix: str = _WORKER) -> None:
        """Replace what is written beside the task."""
        write_text_atomically(task.with_suffix(suffix), json.dumps(asdict(self)))

    def has_ended(self) -> bool:
        """Whether it came to its end; one that was told to stop may be started again by the scheduler."""
        return self.code is not None and self.code != TERMINATED

    def is_alive_here(self) -> bool:
        """Whether it still runs on this machine."""
        return self.host == socket.gethostname() and is_alive(self.pid, self.began)


def attend(
    task: Path,
    stop: Callable[[], bool],
    environment: Mapping[str, str],
    log: IO[bytes] | None = None,
    node: Node | None = None,
) -> int:
    """Have a worker train the task, after an earlier one if there was any, and tell it to save and end on `stop()`.

    Args:
        task: file of a `Task`.
        stop: asked several times a second.
        environment: set for the worker on top of this process's own.
        log: where the worker writes; None for where this process does.
        node: this machine, where the worker is a group of ranks over several; the first keeps the record.

    Returns:
        The worker's exit code (`exit_codes.py`), 128 + n after signal n.
    """
    records = node is None or node.node_rank == 0
    if records:
        free_runs(task)
    # A blocked signal stays blocked in the child: these reach every process of a job and would end it in mid-step.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        process = start_worker(task, Task.read(task).n_ranks, environment, node=node, log=log)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    try:
        if records:
            WorkerRecord.of(process.pid).write(task)
        while process.poll() is None and not stop():
            time.sleep(_POLL_SECONDS)
    finally:
        process.terminate()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()
    if records:
        free_runs(task)
    return exit_code(process.returncode)


def note_first_rank(task: Path) -> None:
    """Write down that this process is the first rank of the task's worker."""
    WorkerRecord.of(os.getpid()).write(task, _FIRST_RANK)


def note_end(task: Path, code: int) -> None:
    """Write down what the task's worker ended with."""
    worker = WorkerRecord.read(task)
    if worker is not None:
        replace(worker, code=code).write(task)


def free_runs(task: Path) -> None:
    """Mark as interrupted what the task's last worker, which is known to be gone, has left as running."""
    workers = [found for suffix in (_WORKER, _FIRST_RANK) if (found := WorkerRecord.read(task, suffix)) is not None]
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while any(worker.is_alive_here() for worker in workers) and time.monotonic() < deadline:  # it is saving its runs
        time.sleep(_POLL_SECONDS)
    gone = {(worker.host, worker.pid, worker.began) for worker in workers if not worker.is_alive_here()}
    if not gone:
        return
    content = Task.read(task)
    with sweep_lock(Path(content.sweep_dir)):
        for folder in content.run_folders:
            status = current_status(folder)
            if status is None or status.state != "running":
                continue
            if (status.host, status.pid, status.began) in gone:
                folder.write_status(replace(status, state="interrupted"))
