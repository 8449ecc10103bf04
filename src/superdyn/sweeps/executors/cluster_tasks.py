"""From the points of a launch to the tasks that a cluster gets: what each trains and asks for, and what is tried again
when one is lost.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from superdyn.config import RunConfig
from superdyn.runs.faults import SweepStoppedError
from superdyn.sweeps.executors.attempts import Attempts
from superdyn.sweeps.executors.board import Board, last_line
from superdyn.sweeps.executors.slots import THREAD_VARIABLES
from superdyn.sweeps.exit_codes import KILLED, STORAGE_FAULT
from superdyn.sweeps.launch import Launch
from superdyn.sweeps.member_memory import member_bytes
from superdyn.sweeps.packing import pack_groups, split_groups
from superdyn.sweeps.points import Point
from superdyn.sweeps.workers.task import Task

_MEMORY_SHARE = 0.5
"""Of `launcher.memory_gib`; the estimate of a member's memory is good to a factor of about 1.5."""


@dataclass(frozen=True)
class Unit:
    """Points that one task trains, mostly one pack, and the task's file."""

    points: tuple[Point, ...]
    task: Path

    @property
    def log(self) -> Path:
        """Where the worker writes, if its executor does not say otherwise."""
        return self.task.with_suffix(".log")


class Units:
    """Cuts points into units and keeps account of those that were left unfinished.

    Args:
        launch: what is trained.
        config: of one of its points.
        folder: where task files go.
        board: where that is told.
    """

    def __init__(self, launch: Launch, config: RunConfig, folder: Path, board: Board):
        self._launch, self._settings, self._folder, self._board = launch, config.launcher, folder, board
        self._on_gpu = config.trainer.accelerator != "cpu"
        self._numbers = itertools.count()
        self._attempts = Attempts(config.launcher.retries)

    def cut(self, points: Sequence[Point], parallel: int) -> list[Unit]:
        """One unit per group of one shape; fewer groups than tasks that run at a time are cut, so that all have work.

        Memory is looked at where the task runs, but for the share of a node that `launcher.memory_gib` grants.
        """
        groups = len(pack_groups(points))
        units = []
        for piece in split_groups(points, max(1, parallel // max(groups, 1))):
            task = Task.of(self._launch, piece, pack_limit=self._limit(piece))
            units.append(Unit(tuple(piece), task.write(self._folder / f"{next(self._numbers):04d}.json")))
        return units

    def after(self, unit: Unit, code: int | None, how: str, log: Path) -> list[Point]:
        """Take note of a unit that has ended; returns the points that are to be tried again.

        Args:
            unit: what has ended.
            code: exit code of its worker, None if it left no word.
            how: the end in the cluster's words.
            log: what the worker wrote.

        Raises:
            SweepStoppedError: the disk cannot be written, or a run failed under `launcher.fail_fast`.
        """
        if code == STORAGE_FAULT:
            raise SweepStoppedError(last_line(log))
        if self._settings.fail_fast:
            self._launch.stop_if_failed(unit.points)
        free = {point.signature for point in self._launch.waiting()}
        left = [point for point in unit.points if point.signature in free and point.state() != "failed"]
        if not left:
            return []
        self._board.say(f"{len(left)} runs were left unfinished ({how}), see {log}")
        return self._attempts.failed(left, how, log, out_of_memory=code == KILLED or how == "OUT_OF_MEMORY")

    def _limit(self, points: Sequence[Point]) -> int | None:
        limits = [] if self._attempts.pack_limit is None else [self._attempts.pack_limit]
        if self._settings.memory_gib is not None and not self._on_gpu:
            granted = _MEMORY_SHARE * self._settings.memory_gib * 2**30
            limits.append(max(1, int(granted / member_bytes(points[0].config))))
        return min(limits) if limits else None


@dataclass(frozen=True)
class Reservation:
    """Of one task, on each of its nodes; `memory_gib` None leaves it to the cluster."""

    nodes: int
    cpus: int
    gpus: int
    memory_gib: float | None
    environment: Mapping[str, str]
    """Threads for each process of the task."""


def reservation_of(config: RunConfig) -> Reservation:
    """`launcher.cpus` for each of `trainer.devices`, which are GPUs if the run asks for GPUs."""
    launcher, devices = config.launcher, int(config.trainer.devices)
    gpus = max(launcher.gpus, devices if config.trainer.accelerator == "gpu" else 0)
    threads = {name: str(launcher.cpus) for name in THREAD_VARIABLES}
    return Reservation(config.trainer.num_nodes, launcher.cpus * devices, gpus, launcher.memory_gib, threads)
