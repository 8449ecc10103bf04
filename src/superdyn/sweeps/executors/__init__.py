"""Which executor trains the packs: that of this process (`sweeps/in_process.py`), or one of those here, by local
processes, SLURM jobs, ray tasks or groups of ranks; one file each.
"""

from collections.abc import Sequence

from superdyn.sweeps.launch import Launch
from superdyn.sweeps.points import Point
from superdyn.sweeps.ranks.place import place


def train_points(launch: Launch, points: Sequence[Point], skipped: int) -> None:
    """Train points of a launch by the executor that the `launcher` group names, imported only when it is used.

    It returns when it can do no more for them; their folders say how it went.

    Args:
        launch: what is trained.
        points: those that are free; all share the launcher.
        skipped: how many points of the launch were done before.

    Raises:
        SweepStoppedError: nothing more can be trained here.
        HandedOver: a cluster trains on without this process.
        KeyboardInterrupt, SystemExit: the user or the system stopped the launch; every run can be resumed.
    """
    config = points[0].config
    match config.launcher.name:
        case "pack" if config.trainer.n_ranks > 1 and place() is None:
            from superdyn.sweeps.executors.rank_groups import train_by_groups

            train_by_groups(launch, points)
        case "pack":
            from superdyn.runs.progress import Progress
            from superdyn.sweeps.in_process import InProcess

            InProcess(launch, Progress(len(launch.points), skipped)).run(points)
        case "local":
            from superdyn.sweeps.executors.local import LocalProcesses

            LocalProcesses(launch, config, skipped).run(points)
        case "slurm":
            from superdyn.sweeps.executors.slurm import SlurmJobs

            SlurmJobs(launch, config, skipped).run(points)
        case "ray":
            from superdyn.sweeps.executors.ray_tasks import RayTasks

            RayTasks(launch, config, skipped).run(points)
