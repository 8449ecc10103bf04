"""Trains packs in fresh worker processes on this machine: N devices × k slots, each slot one pack at a time.

Every worker gets all points and takes pack after pack until none is free, so a grid of many shapes costs one start a
slot. A worker that dies takes only the pack in its hands down, which another worker takes up from its checkpoints.
Workers end with this process, whatever ends it: they listen to a pipe that closes when it is gone.
"""

import itertools
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from superdyn.config import RunConfig
from superdyn.runs.faults import SweepStoppedError
from superdyn.runs.process import is_alive
from superdyn.runs.status import Status
from superdyn.sweeps.executors.attempts import Attempts
from superdyn.sweeps.executors.board import Board, last_line
from superdyn.sweeps.executors.slots import Slot, slots_of
from superdyn.sweeps.exit_codes import DEVICE_FAULT, DIED, KILLED, STORAGE_FAULT
from superdyn.sweeps.launch import Launch
from superdyn.sweeps.packing import count_pieces, pack_groups
from superdyn.sweeps.points import Point
from superdyn.sweeps.ranks.group import start_worker
from superdyn.sweeps.workers.task import Task

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

    def __init__(self, launch: Launch, config: RunConfig, skipped: int):
        self._launch, self._settings = launch, config.launcher
        self._slots = slots_of(config)
        self._folder = launch.sweep_dir / "launch" / uuid.uuid4().hex[:8]
        self._numbers = itertools.count()
        self._board = Board(launch, len(self._slots), skipped, shown=config.trainer.progress)
        self._at_work: dict[Slot, Worker] = {}
        self._attempts = Attempts(config.launcher.retries)
        self._n_ranks = config.trainer.n_ranks
        self._gone: set[tuple[int, str]] = set()
        """Processes whose end is accounted for, or was before the launch."""

    def run(self, points: Sequence[Point]) -> None:
        """Train the points.

        Raises:
            SweepStoppedError: every device is gone, the disk cannot be written, or a run failed under `fail_fast`.
            KeyboardInterrupt, SystemExit: the user or the system stopped the launch.
        """
        self._points = points
        self._gone.update((status.pid, status.began) for _, status in self._ended())
        self._group_sizes = [len(group) for group in pack_groups(points)]
        idle = self._slots[: count_pieces(self._group_sizes, parts_of(self._group_sizes, self._slots))]
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
        parts = parts_of(self._group_sizes, self._slots)
        task = Task.of(self._launch, self._points, parts, share, self._attempts.pack_limit)
        path = task.write(self._folder / f"{next(self._numbers):04d}.json")
        log = path.with_suffix(".log")
        with log.open("wb") as out:
            # Ctrl-C reaches this process alone, which tells its workers.
            process = start_worker(path, self._n_ranks, slot.environment, log=out, own_session=True)
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
            # One rank that fails takes its group down, whatever the group has still to do.
            if code not in ((0, 1) if self._n_ranks == 1 else (0,)) and self._takes_up_again(slot, worker, code):
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
            self._board.say(f"{slot.name} is lost and gets no more work, see {worker.log}")
            if not self._slots:
                raise SweepStoppedError(f"no device is left, see {worker.log}; repeat the command to resume")
            return False
        had = self._in_hands_of(worker)
        victims = [point for point in had if point.state() not in ("done", "failed")]
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if victims or not had:
            self._board.say(f"a worker died with {len(victims)} runs in training ({how}), see {worker.log}")
        killed = code in (-signal.SIGKILL, KILLED)  # itself, or as a rank of its group: memory ran out
        self._attempts.failed(victims, how, worker.log, out_of_memory=killed)
        # One that ends with nothing in its hands counts against its slot.
        return bool((had or self._attempts.may_start_again(slot.name)) and self._launch.waiting())

    def _in_hands_of(self, worker: Worker) -> list[Point]:
        """The points that a worker that is gone had in its hands last, whatever it wrote of them.

        The process that writes for a group is one of its ranks, and none of the others that are at work.
        """
        ended = self._ended()
        if self._n_ranks == 1:
            return [point for point, status in ended if status.pid == worker.process.pid and status.state == "running"]
        found = [(point, status) for point, status in ended if (status.pid, status.began) not in self._gone]
        self._gone.update((status.pid, status.began) for _, status in found)
        return [point for point, _ in found]

    def _ended(self) -> list[tuple[Point, Status]]:
        """The points whose last word is that of a process on this host that is gone."""
        statuses = [(point, point.status()) for point in self._points]
        here = [(p, s) for p, s in statuses if s is not None and s.host == socket.gethostname()]
        return [(point, status) for point, status in here if not is_alive(status.pid, status.began)]

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


def parts_of(group_sizes: Sequence[int], slots: Sequence[Slot]) -> int:
    """Into how many packs each group of runs of one shape is cut, so that the workers of these slots share them.

    On a CPU each worker gets some of every shape. On GPUs each device does: slots of one device are there to compile
    and fit beside one another, and two packs of half the size would compile twice. More only where slots had none.
    """
    if not slots[0].on_gpu:
        return len(slots)
    devices = len({slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots})
    wanted = min(len(slots), sum(group_sizes))
    return next((n for n in range(devices, len(slots)) if count_pieces(group_sizes, n) >= wanted), len(slots))


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """SIGTERM ends this process by an exception, so that the workers can be told."""

    def end(number: int, frame: object) -> None:
        raise SystemExit(DIED + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _close(worker: Worker) -> None:
    assert worker.process.stdin is not None
    worker.process.stdin.close()
