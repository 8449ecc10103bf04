"""Trains runs of several ranks one after the other, each by a torchrun group of its own in the foreground."""

import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

from superdyn.runs.faults import SweepStoppedError
from superdyn.runs.ownership import current_status
from superdyn.sweeps.exit_codes import DEVICE_FAULT, DIED, INTERRUPTED, STORAGE_FAULT, TERMINATED
from superdyn.sweeps.launch import Launch, write_failed
from superdyn.sweeps.points import Point
from superdyn.sweeps.ranks.group import PARENT_ON_STDIN, run_group
from superdyn.sweeps.workers.task import Task


class RankGroups:
    """Executor of a run over several devices, in the place of `InProcess`."""

    def __init__(self, launch: Launch):
        self._launch = launch

    def run(self, points: Sequence[Point]) -> None:
        """Train the points.

        Raises:
            SweepStoppedError: a device is gone, the disk cannot be written, or a rank was killed.
            KeyboardInterrupt, SystemExit: the user or the system stopped the launch.
        """
        for point in points:
            self._after(point, self._train(point))

    def _train(self, point: Point) -> int:
        with tempfile.TemporaryDirectory() as directory:
            task = Task.of(self._launch, [point]).write(Path(directory) / "task.json")
            return run_group(point.config.trainer.devices, [str(task), PARENT_ON_STDIN])

    def _after(self, point: Point, code: int) -> None:
        if code == INTERRUPTED:
            raise KeyboardInterrupt
        if code == TERMINATED:
            raise SystemExit(code)
        if code in (STORAGE_FAULT, DEVICE_FAULT):
            raise SweepStoppedError("the ranks printed the reason above; repeat the command to resume")
        if code > DIED:
            name = signal.Signals(code - DIED).name
            raise SweepStoppedError(f"a rank was ended by {name}; repeat the command to resume")
        status = current_status(point.folder)
        if status is None or status.state not in ("done", "failed"):
            write_failed([point], f"its ranks ended with exit code {code} and printed the reason")
