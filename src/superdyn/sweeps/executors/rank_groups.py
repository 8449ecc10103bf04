"""Trains runs of several ranks one after the other, each by a torchrun group of its own in the foreground: what
`launcher=pack` does on several devices.
"""

import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from superdyn.runs.faults import SweepStoppedError
from superdyn.sweeps.exit_codes import DEVICE_FAULT, DIED, INTERRUPTED, STORAGE_FAULT, TERMINATED, exit_code
from superdyn.sweeps.launch import Launch, write_failed
from superdyn.sweeps.points import Point
from superdyn.sweeps.ranks.group import start_worker
from superdyn.sweeps.workers.task import Task


def train_by_groups(launch: Launch, points: Sequence[Point]) -> None:
    """Train points of a launch.

    Raises:
        SweepStoppedError: a device is gone, the disk cannot be written, or a rank was killed.
        KeyboardInterrupt, SystemExit: the user or the system stopped the launch.
    """
    for point in points:
        with tempfile.TemporaryDirectory() as directory:
            task = Task.of(launch, [point]).write(Path(directory) / "task.json")
            code = run_group(task, point.config.trainer.devices)
        _after(point, code)


def run_group(task: Path, n_ranks: int) -> int:
    """Have a group train a task, pass SIGTERM and Ctrl-C on, once, and return its exit code."""
    process = start_worker(task, n_ranks, {}, own_session=True)

    def forward(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return exit_code(process.wait())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        assert process.stdin is not None
        process.stdin.close()


def _after(point: Point, code: int) -> None:
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    if code == TERMINATED:
        raise SystemExit(code)
    if code in (STORAGE_FAULT, DEVICE_FAULT):
        raise SweepStoppedError("the ranks printed the reason above; repeat the command to resume")
    if code > DIED:
        name = signal.Signals(code - DIED).name
        raise SweepStoppedError(f"a rank was ended by {name}; repeat the command to resume")
    status = point.status()
    if code and (status is None or not status.is_live()):  # it may be another launch that trains the run
        write_failed([point], f"its ranks ended with exit code {code} and printed the reason")
