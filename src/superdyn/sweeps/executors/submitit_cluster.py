"""Where submitit takes jobs: a SLURM cluster, or processes of this machine that behave like its jobs.

The second is for laptops and tests: the same task, signals, requeueing and logs without a scheduler.
"""

import os
import shutil
import signal
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from superdyn.config import ConfigError, RunConfig
from superdyn.sweeps.executors import slurm_queue
from superdyn.sweeps.executors.cluster_tasks import Unit, reservation_of
from superdyn.sweeps.executors.slurm_queue import SubmittedJob
from superdyn.sweeps.workers.cluster_job import ClusterJob

LARGEST_ARRAY = 1000
"""MaxArraySize of a SLURM whose administrator has not changed it is 1001."""

_GRACE_SECONDS = 60.0


def cluster_of(config: RunConfig, folder: Path, name: str) -> "SlurmCluster | LocalCluster":
    """What `launcher.cluster` names.

    Args:
        config: of one of the runs.
        folder: where submitit keeps its files.
        name: of the jobs.

    Raises:
        ConfigError: submitit or SLURM is missing, or keys contradict each other.
    """
    launcher = config.launcher
    try:
        import submitit
    except ImportError as error:
        raise ConfigError("launcher=slurm: needs submitit; pip install 'superdyn[slurm]'.") from error
    if launcher.grace_seconds >= 60 * launcher.time_minutes:
        raise ConfigError(
            f"launcher.grace_seconds={launcher.grace_seconds}: must be less than launcher.time_minutes="
            f"{launcher.time_minutes}, since a job saves and requeues itself that long before its time limit."
        )
    kind = launcher.cluster
    if kind == "slurm" and not (shutil.which("sbatch") and shutil.which("srun")):
        raise ConfigError(
            "launcher=slurm: sbatch and srun are not installed here; launch where SLURM is, try it with "
            "launcher.cluster=local, or use launcher=local."
        )
    if kind == "local" and not launcher.wait:
        raise ConfigError("launcher.wait=False: allowed with launcher.cluster=slurm, whose jobs outlive the launch.")
    if kind == "local" and config.trainer.num_nodes > 1:
        raise ConfigError(
            f"trainer.num_nodes={config.trainer.num_nodes}: launcher.cluster=local runs on this machine only; allowed "
            f"with launcher.cluster=slurm."
        )
    executor = submitit.AutoExecutor(folder, cluster=kind, **{f"{kind}_max_num_timeout": launcher.max_timeouts})
    executor.update_parameters(**_parameters(config, name))
    environment = dict(reservation_of(config).environment)
    if kind == "slurm":
        return SlurmCluster(executor, environment)
    return LocalCluster(executor, environment, launcher.max_parallel)


class SlurmCluster:
    """Jobs of a SLURM cluster, in arrays.

    Attributes:
        outlives_launch: whether jobs go on when the launching process ends.
    """

    outlives_launch = True

    def __init__(self, executor: Any, environment: dict[str, str]):
        self._executor, self._environment = executor, environment

    def room(self) -> int:
        """How many jobs may be submitted now: any number; SLURM itself runs `launcher.max_parallel` at a time."""
        return LARGEST_ARRAY

    def submit(self, units: Sequence[Unit]) -> list[SubmittedJob]:
        """Submit a job for each unit, as one array.

        Raises:
            ConfigError: SLURM refuses them.
        """
        from submitit.core.utils import FailedJobError, FailedSubmissionError

        try:
            return _submitted(units, _submit(self._executor, units, self._environment))
        except (FailedJobError, FailedSubmissionError) as error:
            raise ConfigError(
                f"launcher=slurm: SLURM refuses the jobs ({' '.join(str(error).split())}); launcher.partition, "
                f"account, qos, time_minutes, cpus, gpus, memory_gib and options must be what the cluster allows, "
                f"which sinfo shows."
            ) from error

    def states(self) -> Mapping[str, str] | None:
        """State of every job that is known; None where there is no answer now."""
        return slurm_queue.job_states()

    def cancel(self, jobs: Collection[str]) -> None:
        """End the jobs; their workers save."""
        slurm_queue.cancel(jobs)

    def close(self) -> None:
        """Wait for what this process itself started: nothing, the jobs are SLURM's."""


class LocalCluster:
    """The same of processes of this machine, `launcher.max_parallel` at a time, that end with the launch."""

    outlives_launch = False

    def __init__(self, executor: Any, environment: dict[str, str], max_parallel: int):
        self._executor, self._environment, self._most = executor, environment, max_parallel
        self._jobs: dict[str, Any] = {}

    def room(self) -> int:
        """What is left of `launcher.max_parallel`."""
        return self._most - sum(not job.done() for job in self._jobs.values())

    def submit(self, units: Sequence[Unit]) -> list[SubmittedJob]:
        """Start them; Ctrl-C does not reach them but through `cancel`, which lets them save."""
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
        try:
            jobs = _submit(self._executor, units, self._environment)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self._jobs |= {job.job_id: job for job in jobs}
        return _submitted(units, jobs)

    def states(self) -> Mapping[str, str] | None:
        """In SLURM's words."""
        return {name: "COMPLETED" if job.done() else "RUNNING" for name, job in self._jobs.items()}

    def cancel(self, jobs: Collection[str]) -> None:
        """By SIGTERM to the process that attends the job, whose number is the job's; waits for the end."""
        for name in jobs:
            if not self._jobs[name].done():
                with suppress(ProcessLookupError):
                    os.kill(int(name), signal.SIGTERM)
        self.close()

    def close(self) -> None:
        """Wait for the processes, a minute at most."""
        deadline = time.monotonic() + _GRACE_SECONDS
        while any(not job.done() for job in self._jobs.values()) and time.monotonic() < deadline:
            time.sleep(0.1)


def _submit(executor: Any, units: Sequence[Unit], environment: dict[str, str]) -> list[Any]:
    return executor.map_array(ClusterJob(), [str(unit.task.absolute()) for unit in units], [environment] * len(units))


def _submitted(units: Sequence[Unit], jobs: Sequence[Any]) -> list[SubmittedJob]:
    return [
        SubmittedJob(job.job_id, unit.task.absolute(), Path(job.paths.stdout))
        for unit, job in zip(units, jobs, strict=True)
    ]


def _parameters(config: RunConfig, name: str) -> dict[str, Any]:
    """What submitit is told; keys that it does not know go to sbatch as they are."""
    launcher, reservation = config.launcher, reservation_of(config)
    return {
        "name": f"superdyn-{name}",
        "timeout_min": launcher.time_minutes,
        "cpus_per_task": reservation.cpus,
        "gpus_per_node": reservation.gpus or None,
        "mem_gb": reservation.memory_gib,
        "nodes": reservation.nodes,
        "tasks_per_node": 1,
        "stderr_to_stdout": True,
        "slurm_partition": launcher.partition,
        "slurm_account": launcher.account,
        "slurm_qos": launcher.qos,
        "slurm_array_parallelism": launcher.max_parallel,
        "slurm_signal_delay_s": launcher.grace_seconds,
        "slurm_setup": list(launcher.setup) or None,
        # Since 22.05 srun does not take this over from sbatch.
        "slurm_srun_args": [f"--cpus-per-task={reservation.cpus}"],
        "slurm_additional_parameters": {"requeue": True, **launcher.options},
    }
