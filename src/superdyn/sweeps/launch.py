"""A launch: which points of a sweep folder are to be trained now, and the moment at which this process takes them.

Executors (`executors/`) differ in where they train; what may be trained, and by whom, is the same for all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from superdyn.runs.faults import SweepStoppedError
from superdyn.runs.ownership import sweep_lock
from superdyn.runs.status import Status
from superdyn.sweeps.points import Point


@dataclass(frozen=True)
class Launch:
    """What every executor needs to know.

    Attributes:
        sweep_dir: the folder of the sweep, or of the one run.
        points: all points of the launch, the done ones included.
        retry: failed points that are to be trained again, as `failures` names them: only these failures count, so that
            of many workers one tries again.
        parts, memory_share, pack_limit: as in `packing.make_packs`.
    """

    sweep_dir: Path
    points: tuple[Point, ...]
    retry: Mapping[str, float] = field(default_factory=dict)
    parts: int = 1
    memory_share: float = 1.0
    pack_limit: int | None = None

    def waiting(self) -> list[Point]:
        """Points that nobody trains and that are not done, nor failed unless they are to be trained again."""
        return [point for point in self.points if self._is_free(point, point.status())]

    def live(self) -> list[tuple[Point, Status]]:
        """Points that another process trains at this moment, with what it last said."""
        statuses = [(point, point.status()) for point in self.points]
        return [(p, status) for p, status in statuses if status and status.is_live() and not status.is_ours()]

    def take(self, members: Sequence[Point], start_step: int) -> list[Point]:
        """Those of a pack's members that nobody else trains; they are this process's own from now on."""
        with sweep_lock(self.sweep_dir):
            free = [point for point in members if self._is_free(point, point.status())]
            for point in free:
                steps, folder = point.config.trainer.max_steps, point.folder
                folder.write_status(Status("running", start_step, steps, point.signature, folder.name))
        return free

    def stop_if_failed(self, points: Sequence[Point]) -> None:
        """What `launcher.fail_fast` asks for.

        Raises:
            SweepStoppedError: one of the points has failed.
        """
        if any(point.state() == "failed" for point in points):
            raise SweepStoppedError(f"a run failed and launcher.fail_fast=true; why: superdyn status {self.sweep_dir}")

    def _is_free(self, point: Point, status: Status | None) -> bool:
        if status is None:
            return True
        if status.state == "failed":
            return self.retry.get(point.signature) == status.heartbeat
        return status.state != "done" and (status.is_ours() or not status.is_live())


def failures(points: Sequence[Point]) -> dict[str, float]:
    """When the failed ones among these points failed, by signature."""
    statuses = [(point.signature, point.status()) for point in points]
    return {name: status.heartbeat for name, status in statuses if status is not None and status.state == "failed"}


def write_failed(points: Sequence[Point], reason: str) -> None:
    """Mark points as failed for this reason, but for those that are done or have failed by themselves."""
    for point in points:
        status = point.status()
        if status is None or status.state not in ("failed", "done"):
            step = 0 if status is None else status.step
            steps = point.config.trainer.max_steps
            point.folder.write_status(Status("failed", step, steps, point.signature, point.folder.name, error=reason))
