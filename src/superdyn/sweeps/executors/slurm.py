"""Trains packs as jobs of a cluster through submitit: what `launcher=slurm` does.

Jobs are arrays with one unit of work a job and live on their own: this process watches, and may end or be started
again at any time. All truth is in the run folders; what is kept beside them only says which jobs are still queued.
"""

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from superdyn.config import RunConfig
from superdyn.runs.faults import HandedOver, SweepStoppedError
from superdyn.sweeps.executors.board import Board
from superdyn.sweeps.executors.cluster_tasks import Unit, Units
from superdyn.sweeps.executors.slurm_queue import (
    ENDED,
    FORGOTTEN,
    SubmittedJob,
    array_ids,
    record_jobs,
    recorded_jobs,
)
from superdyn.sweeps.executors.submitit_cluster import cluster_of
from superdyn.sweeps.launch import Launch
from superdyn.sweeps.points import Point
from superdyn.sweeps.workers.attended import WorkerRecord, free_runs
from superdyn.sweeps.workers.task import Task

_LOOK_SECONDS, _ASK_SECONDS = 1.0, 10.0
"""Between two looks at the files of the jobs, and between two questions to the cluster."""

_SURE = 2
"""How often in a row a job must be called ended, since one that is requeued looks like that for a moment."""


@dataclass
class Job:
    """A job that is watched; `ended` counts how often in a row it was called ended."""

    unit: Unit
    submitted: SubmittedJob
    state: str = "PENDING"
    ended: int = 0


class SlurmJobs:
    """Executor of `launcher=slurm`."""

    def __init__(self, launch: Launch, config: RunConfig, skipped: int):
        self._launch, self._settings, self._shown = launch, config.launcher, config.trainer.progress
        self._folder = (launch.sweep_dir / "launch" / uuid.uuid4().hex[:8]).absolute()
        self._cluster = cluster_of(config, self._folder, launch.sweep_dir.absolute().name)
        self._board = Board(launch, self._settings.max_parallel, skipped, shown=self._shown)
        self._units = Units(launch, config, self._folder, self._board)
        self._waiting: list[Unit] = []
        self._jobs: dict[str, Job] = {}
        self._submitted: list[SubmittedJob] = []
        self._next_question = 0.0

    def run(self, points: Sequence[Point]) -> None:
        """Submit the points that no queued job holds, and wait for all.

        Raises:
            ConfigError: the cluster refuses the jobs.
            HandedOver: `launcher.wait` is false, and everything is in the queue.
            SweepStoppedError: SLURM does not answer, the disk cannot be written, or a run failed under `fail_fast`.
            KeyboardInterrupt: the user stopped watching; jobs of a cluster go on.
        """
        self._adopt(points)
        held = {point.signature for job in self._jobs.values() for point in job.unit.points}
        parallel = self._settings.max_parallel
        self._waiting = self._units.cut([point for point in points if point.signature not in held], parallel)
        try:
            self._submit()
            if not self._settings.wait:
                raise HandedOver(f"{len(self._jobs)} jobs are in the queue; {self._advice()}")
            with self._board:
                while self._jobs:
                    time.sleep(_LOOK_SECONDS)
                    self._waiting += self._units.cut(self._collect(), parallel)
                    self._submit()
                    self._show()
                self._cluster.close()
        except SweepStoppedError:
            self._cluster.cancel(self._jobs)
            raise
        except BaseException as error:
            if not self._cluster.outlives_launch:
                self._cluster.cancel(self._jobs)
            elif isinstance(error, KeyboardInterrupt):
                self._board.say(f"the jobs continue; {self._advice()}")
            raise

    def _adopt(self, points: Sequence[Point]) -> None:
        """Watch the jobs of earlier launches that are still in the queue and hold points of this one."""
        recorded = recorded_jobs(self._launch.sweep_dir)
        states = self._cluster.states() if recorded else {}
        if states is None:
            raise SweepStoppedError("squeue does not answer, and jobs of an earlier launch may still be queued")
        wanted = {point.folder.path.absolute(): point for point in points}
        for job in recorded:
            state, worker = states.get(job.job, FORGOTTEN), WorkerRecord.read(job.task)
            if state == FORGOTTEN or state in ENDED or (worker is not None and worker.has_ended()):
                continue
            held = tuple(wanted[run.path] for run in Task.read(job.task).run_folders if run.path in wanted)
            if held:
                self._jobs[job.job] = Job(Unit(held, job.task), job, state)
        if self._jobs:
            self._board.say(f"{len(self._jobs)} jobs of an earlier launch are still queued: {array_ids(self._jobs)}")

    def _submit(self) -> None:
        """Submit as many of the waiting units as the cluster takes now."""
        while self._waiting and (room := self._cluster.room()) > 0:
            part, self._waiting = self._waiting[:room], self._waiting[room:]
            submitted = self._cluster.submit(part)
            self._jobs |= {job.job: Job(unit, job) for unit, job in zip(part, submitted, strict=True)}
            self._submitted += submitted
            record_jobs(self._folder, self._submitted)
            if self._shown:
                numbers = array_ids(job.job for job in submitted)
                self._board.say(f"{len(part)} jobs submitted: {numbers}; their logs are in {self._folder}")

    def _collect(self) -> list[Point]:
        """Take note of jobs that have ended; returns the points that are to be submitted again."""
        self._ask()
        again = []
        for name, job in list(self._jobs.items()):
            worker = WorkerRecord.read(job.submitted.task)
            ended = worker is not None and worker.has_ended()
            if not ended and job.ended < _SURE:
                continue
            del self._jobs[name]
            free_runs(job.submitted.task)
            code = worker.code if worker is not None else None
            by_itself = job.state not in ENDED or job.state in ("COMPLETED", "FAILED")
            how = f"exit code {code}" if code is not None and by_itself else job.state
            again += self._units.after(job.unit, code, how, job.submitted.log)
        return again

    def _ask(self) -> None:
        """Ask the cluster how the jobs are, if it is time."""
        if time.monotonic() < self._next_question:
            return
        self._next_question = time.monotonic() + _ASK_SECONDS
        states = self._cluster.states()
        if states is None:
            return
        for name, job in self._jobs.items():
            job.state = states.get(name, FORGOTTEN)
            job.ended = job.ended + 1 if job.state in ENDED or job.state == FORGOTTEN else 0

    def _show(self) -> None:
        at_work = [job.submitted for job in self._jobs.values() if job.state == "RUNNING"]
        self._board.show({f"job {job.job}": job.log for job in at_work if job.log.exists()})

    def _advice(self) -> str:
        numbers = array_ids(self._jobs)
        return (
            f"follow them: superdyn status {self._launch.sweep_dir}, squeue --me, or the same command again; "
            f"cancel them: scancel {numbers}"
        )
