"""Trains packs in fresh worker processes on this machine: N devices × k slots, each slot one pack at a time.

Every worker gets all points and takes pack after pack until none is free, so a grid of many shapes costs one start a
slot. A worker that dies takes only the pack in its hands down, which another worker takes up from its checkpoints.
Workers end with this process, whatever ends it: they listen to a pipe that closes when it is gone.
"""

import itertools
import os
import signal
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from superdyn.config import RunConfig
from superdyn.runs.faults import SweepStoppedError
from superdyn.runs.ownership import current_status
from superdyn.sweeps.executors.board import Board, last_line
from superdyn.sweeps.executors.slots import Slot, slots_of
from superdyn.sweeps.group import SAFE_PATH, worker_command
from superdyn.sweeps.launch import Launch, write_failed
from superdyn.sweeps.packing import split_groups
from superdyn.sweeps.points import Point
from superdyn.sweeps.task import Task
from superdyn.sweeps.worker import DEVICE_FAULT, PARENT_ON_STDIN, STORAGE_FAULT

_POLL_SECONDS = 0.1
_GRACE_SECONDS = 60.0
"""What a worker gets to save its runs when it is told to stop."""


@dataclass
class Worker:
    """A process at work in a slot."""

    process: subprocess.Popen[bytes]
    log: Path


class LocalProcesses:
    """Executor of `launcher=local`."""

    def __init__(self, launch: Launch, config: RunConfig, skipped: int = 0):
        self._launch, self._settings = launch, config.launcher
        self._slots = slots_of(config)
        self._folder = launch.sweep_dir / "launch" / uuid.uuid4().hex[:8]
        self._numbers = itertools.count()
        self._board = Board(launch, len(self._slots), skipped, shown=config.trainer.progress)
        self._at_work: dict[Slot, Worker] = {}
        self._deaths: Counter[str] = Counter()
        self._pack_limit: int | None = None

    def run(self, points: Sequence[Point]) -> None:
        """Train the points.

        Raises:
            SweepStoppedError: every device is gone, the disk cannot be written, or a run failed under `fail_fast`.
            KeyboardInterrupt, SystemExit: the user or the system stopped the launch.
        """
        self._points = points
        idle = self._slots[: len(split_groups(points, len(self._slots)))]
        next_start = 0.0
        with _sigterm_as_exit(), self._board:
            try:
                while idle or self._at_work:
                    if idle and time.monotonic() >= next_start:
                        slot = idle.pop(0)
                        self._at_work[slot] = self._worker(slot)
                        next_start = time.monotonic() + self._settings.stagger_seconds
                    idle += self._collect()
                    self._board.show({slot.name: worker.log for slot, worker in self._at_work.items()})
                    time.sleep(_POLL_SECONDS)
            finally:
                self._end_workers()

    def _worker(self, slot: Slot) -> Worker:
        share = 1.0 / self._settings.slots if slot.on_gpu else 1.0 / len(self._slots)
        task = Task.of(self._launch, self._points, len(self._slots), share, self._pack_limit)
        path = task.write(self._folder / f"{next(self._numbers):04d}.json")
        log = path.with_suffix(".log")
        with log.open("wb") as out:
            process = subprocess.Popen(
                worker_command(self._points[0].config.trainer.n_ranks, [str(path), PARENT_ON_STDIN]),
                stdin=subprocess.PIPE, stdout=out, stderr=subprocess.STDOUT,
                env={**os.environ, **SAFE_PATH, **slot.environment},
                start_new_session=True,  # Ctrl-C reaches this process alone, which tells its workers
            )  # fmt: skip
        return Worker(process, log)

    def _collect(self) -> list[Slot]:
        """Take note of workers that have ended; returns the slots whose work is to be taken up again."""
        again = []
        for slot, worker in list(self._at_work.items()):
            code = worker.process.poll()
            if code is None:
                continue
            del self._at_work[slot]
            _close(worker)
            if code not in (0, 1) and self._takes_up_again(slot, worker, code):
                again.append(slot)
            if self._settings.fail_fast:
                self._launch.stop_if_failed(self._points)
        return again

    def _takes_up_again(self, slot: Slot, worker: Worker, code: int) -> bool:
        """Do what the exit code of a worker that did not come to its end asks for."""
        if code == STORAGE_FAULT:
            raise SweepStoppedError(last_line(worker.log))
        if code == DEVICE_FAULT:
            self._slots.remove(slot)
            self._board.say(f"{slot.name} is gone and gets no more work, see {worker.log}")
            if not self._slots:
                raise SweepStoppedError(f"no device is left, see {worker.log}; the same command goes on")
            return False
        victims = [point for point in self._points if _is_in_hands_of(worker, point)]
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._board.say(f"a worker died with {len(victims)} runs in training ({how}), see {worker.log}")
        if code == -signal.SIGKILL and len(victims) > 1:  # what the system does when memory runs out
            self._pack_limit = (len(victims) + 1) // 2
        self._deaths.update(point.signature for point in victims)
        hopeless = [point for point in victims if self._deaths[point.signature] > self._settings.retries]
        write_failed(hopeless, f"its process died {self._settings.retries + 1} times, last with {how}: {worker.log}")
        # Those that die with nothing in their hands, or as a group of ranks, count against their slot.
        self._deaths[slot.name] += not victims
        return self._deaths[slot.name] <= self._settings.retries and bool(self._launch.waiting())

    def _end_workers(self) -> None:
        """Have every worker save its runs and end."""
        for worker in self._at_work.values():
            worker.process.terminate()
        deadline = time.monotonic() + _GRACE_SECONDS
        for worker in self._at_work.values():
            try:
                worker.process.wait(max(deadline - time.monotonic(), 0))
            except subprocess.TimeoutExpired:
                worker.process.kill()
                worker.process.wait()
            _close(worker)
        self._at_work.clear()


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """SIGTERM ends this process by an exception, so that the workers can be told."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _close(worker: Worker) -> None:
    assert worker.process.stdin is not None
    worker.process.stdin.close()


def _is_in_hands_of(worker: Worker, point: Point) -> bool:
    status = current_status(point.folder)
    return status is not None and status.state == "running" and status.pid == worker.process.pid
