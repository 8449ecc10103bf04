"""Trains packs as ray tasks: what `launcher=ray` does, on a cluster that runs or on a ray of this machine.

A task only attends its worker, a fresh process like those of every other executor, on the node and the GPUs that ray
has picked. ray starts the task again elsewhere when a node is lost; the runs go on from their checkpoints.
"""

import importlib
import os
import socket
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from superdyn.config import ConfigError, RunConfig
from superdyn.sweeps.executors.board import Board
from superdyn.sweeps.executors.cluster_tasks import Reservation, Unit, Units, reservation_of
from superdyn.sweeps.executors.slots import usable_cores
from superdyn.sweeps.launch import Launch
from superdyn.sweeps.points import Point
from superdyn.sweeps.workers.ray_job import train_unit

_POLL_SECONDS = 0.5
_GRACE_SECONDS = 60.0
_ANSWER_SECONDS = 10.0
_GIB = 2**30

_VARIABLES = ("PYTHONPATH", "SUPERDYN_PACKAGES", "WANDB_MODE", "WANDB_DIR")
"""What a worker finds as the launch does; keys of accounts are not among them, since ray shows such variables."""


class RayTasks:
    """Executor of `launcher=ray`.

    Raises:
        ConfigError: ray is not installed.
    """

    def __init__(self, launch: Launch, config: RunConfig, skipped: int):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        _ray()
        self._launch, self._settings = launch, config.launcher
        self._reservation = reservation_of(config)
        self._folder = (launch.sweep_dir / "launch" / uuid.uuid4().hex[:8]).absolute()
        self._board = Board(launch, self._settings.max_parallel, skipped, shown=config.trainer.progress)
        self._units = Units(launch, config, self._folder, self._board)
        self._tasks: dict[Any, Unit] = {}
        self._waiting: list[Unit] = []

    def run(self, points: Sequence[Point]) -> None:
        """Train the points.

        Raises:
            ConfigError: there is no cluster at `launcher.address`, or it has no node as large as a task.
            SweepStoppedError: the disk cannot be written, or a run failed under `fail_fast`.
            KeyboardInterrupt, SystemExit: the user or the system stopped the launch; the runs are saved.
        """
        with _connected(self._settings.address), self._board:
            parallel = min(self._settings.max_parallel, _fitting(self._reservation))
            self._waiting = self._units.cut(points, parallel)
            try:
                while self._waiting or self._tasks:
                    while self._waiting and len(self._tasks) < parallel:
                        unit = self._waiting.pop(0)
                        self._tasks[self._start(unit)] = unit
                    self._waiting += self._units.cut(self._collect(), parallel)
                    logs = {unit.task.stem: unit.log for unit in self._tasks.values() if unit.log.exists()}
                    self._board.show(logs)
            finally:
                self._cancel()

    def _start(self, unit: Unit) -> Any:
        reservation = self._reservation
        memory = {} if reservation.memory_gib is None else {"memory": reservation.memory_gib * _GIB}
        task = _ray().remote(
            num_cpus=reservation.cpus, num_gpus=reservation.gpus, max_retries=self._settings.retries, **memory
        )(train_unit)
        # The sources and the working directory are on storage that all nodes share; nothing is uploaded.
        variables = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
        return task.options(name=unit.task.stem, runtime_env={"env_vars": variables} if variables else None).remote(
            str(unit.task.absolute()), str(unit.log.absolute()), os.getcwd(), dict(reservation.environment)
        )

    def _collect(self) -> list[Point]:
        """Take note of tasks that have ended, waiting a little for one; returns the points to be tried again."""
        again = []
        for reference in _ray().wait(list(self._tasks), timeout=_POLL_SECONDS)[0]:
            unit = self._tasks.pop(reference)
            code, how = _end_of(reference)
            again += self._units.after(unit, code, how, unit.log)
        return again

    def _cancel(self) -> None:
        """Have the tasks at work save their runs and end."""
        for reference in self._tasks:
            _ray().cancel(reference, force=False)
        if self._tasks:
            _ray().wait(list(self._tasks), num_returns=len(self._tasks), timeout=_GRACE_SECONDS)
        self._tasks.clear()


def _end_of(reference: Any) -> tuple[int | None, str]:
    """(exit code of the worker, how the task ended)."""
    ray = _ray()
    try:
        code = ray.get(reference)
    except ray.exceptions.RayError as error:
        return None, " ".join(str(error).split())[:200]
    return code, f"exit code {code}"


def _fitting(reservation: Reservation) -> int:
    """How many tasks the cluster can hold at a time."""
    ray = _ray()
    wanted = {"CPU": reservation.cpus, "GPU": reservation.gpus, "memory": (reservation.memory_gib or 0) * _GIB}
    offered = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    fitting = sum(int(min(node.get(kind, 0) // n for kind, n in wanted.items() if n)) for node in offered)
    if not fitting:
        largest = {kind: max(node.get(kind, 0) for node in offered) for kind, n in wanted.items() if n}
        asked = ", ".join(f"{n:g} {kind}" for kind, n in wanted.items() if n)
        has = ", ".join(f"{n:g} {kind}" for kind, n in largest.items())
        raise ConfigError(
            f"launcher=ray: a task asks for {asked} and the nodes of this ray have at most {has}; lower launcher.cpus, "
            f"launcher.gpus, launcher.memory_gib or trainer.devices."
        )
    return fitting


def _ray() -> Any:
    """The package, which is an extra.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise ConfigError("launcher=ray: needs ray; pip install 'superdyn[ray]'.") from error


def _check_answers(address: str) -> None:
    """Refuse an address at which nobody listens; ray would try for many minutes."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        raise ConfigError(
            f"launcher.address={address!r}: nothing answers there ({error}); give HOST:PORT of a ray cluster, or null "
            f"for one that runs on this machine or is started here."
        ) from error


@contextmanager
def _connected(address: str | None) -> Iterator[None]:
    """A ray that this process is connected to; one that it had to start itself ends with it."""
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    if address is not None:
        _check_answers(address)
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        ray.init(address=address or "auto", **quiet)
    except (ConnectionError, ValueError) as error:
        if address is not None:
            said = " ".join(str(error).split())
            raise ConfigError(
                f"launcher.address={address!r}: no ray cluster answers there ({said}); null takes one that runs here "
                f"or starts one."
            ) from error
        ray.init(num_cpus=usable_cores(), include_dashboard=False, **quiet)
    try:
        yield
    finally:
        ray.shutdown()
