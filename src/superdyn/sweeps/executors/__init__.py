"""Which executor trains the packs: that of this process (`sweeps/in_process.py`), or one of those here, by local
processes, SLURM jobs, ray tasks or groups of ranks; one file each.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from superdyn.config import RunConfig
from superdyn.sweeps.launch import Launch
from superdyn.sweeps.points import Point
from superdyn.sweeps.ranks.place import place


@runtime_checkable
class Executor(Protocol):
    """Trains points of one launch."""

    def run(self, points: Sequence[Point]) -> None:
        """Train the points and return when this executor can do no more for them; their folders say how it went.

        Raises:
            SweepStoppedError: nothing more can be trained here.
            HandedOver: a cluster trains on without this process.
            KeyboardInterrupt, SystemExit: the user or the system stopped the launch; every run can be resumed.
        """
        ...


def make_executor(launch: Launch, config: RunConfig, skipped: int) -> Executor:
    """The executor that the `launcher` group names; each is imported only when it is used.

    Args:
        launch: what is trained.
        config: of one of its points; all share the launcher.
        skipped: how many points of the launch were done before.
    """
    match config.launcher.name:
        case "pack" if config.trainer.n_ranks > 1 and place() is None:
            from superdyn.sweeps.executors.rank_groups import RankGroups

            return RankGroups(launch)
        case "pack":
            from superdyn.runs.progress import Progress
            from superdyn.sweeps.in_process import InProcess

            return InProcess(launch, Progress(len(launch.points), skipped))
        case "local":
            from superdyn.sweeps.executors.local import LocalProcesses

            return LocalProcesses(launch, config, skipped)
        case "slurm":
            from superdyn.sweeps.executors.slurm import SlurmJobs

            return SlurmJobs(launch, config, skipped)
        case "ray":
            from superdyn.sweeps.executors.ray_tasks import RayTasks

            return RayTasks(launch, config, skipped)
