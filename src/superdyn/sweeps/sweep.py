"""Trains the points of a sweep: skips what is done, packs the rest, and leaves a folder from which it can go on."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from superdyn.config import RunConfig
from superdyn.runs.folder import RunFolder
from superdyn.runs.progress import Progress
from superdyn.runs.status import Status
from superdyn.runs.sweep_folder import SweepPoint, merge_manifest, run_folders
from superdyn.sweeps.packing import Pack, make_packs
from superdyn.sweeps.points import Experiment, Point, missing_points
from superdyn.sweeps.train_pack import train_pack


@dataclass(frozen=True)
class SweepOutcome:
    """What became of the points of a launch."""

    sweep_dir: Path
    total: int
    done: int
    failed: tuple[str, ...]
    skipped: int
    interrupted: bool = False
    experiments: Mapping[str, Experiment] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 when every point is done, 1 when one failed, 130 when the user stopped."""
        return 130 if self.interrupted else int(bool(self.failed))

    def summary(self) -> str:
        """What happened and, where something is left to do, the command that does it."""
        counts = f"{self.done} done ({self.skipped} before), {len(self.failed)} failed"
        text = f"{counts}, {self.total} runs in {self.sweep_dir}"
        if self.interrupted:
            return f"{text}\nstopped; the same command goes on from here, or: superdyn retry {self.sweep_dir}"
        if self.failed:
            return f"{text}\nfailed: {', '.join(self.failed[:5])}; why: superdyn status {self.sweep_dir}"
        return text


def run_sweep(
    points: Sequence[Point], sweep_dir: Path, *, retry_failed: bool = False, single: bool = False
) -> SweepOutcome:
    """Train every point that is neither done, nor being trained elsewhere, nor (unless `retry_failed`) failed.

    A pack that stops with an error does not stop the others. Ctrl-C stops the sweep; the outcome then says so and the
    same call goes on where it left off.

    Args:
        points: what to train.
        sweep_dir: the folder of the sweep, or with `single` of the one run.
        retry_failed: train failed points too.
        single: there is one point, and no manifest is kept.
    """
    sweep_dir.mkdir(parents=True, exist_ok=True)
    if not single:
        merge_manifest(sweep_dir, [SweepPoint(p.signature, p.folder.name, p.overrides) for p in points])
    for point in points:
        if not point.folder.exists():
            point.folder.prepare(point.config.to_mapping(), point.signature)
    waiting = [point for point in points if _is_waiting(point.folder.status(), retry_failed)]
    before = sum(_is_done(point) for point in points)
    progress = Progress(len(points), before)
    try:
        for pack in make_packs(waiting):
            _train(pack, sweep_dir.name, progress)
    except KeyboardInterrupt:
        return _outcome(points, sweep_dir, before, interrupted=True)
    return _outcome(points, sweep_dir, before, interrupted=False)


def retry(sweep_dir: Path) -> SweepOutcome:
    """Train the failed, interrupted and missing points of a sweep or run, as its folder describes them.

    Raises:
        ValueError: `sweep_dir` holds no run.
    """
    points = [_point_of(folder) for folder in run_folders(sweep_dir)] + missing_points(sweep_dir)
    if not points:
        raise ValueError(f"path={str(sweep_dir)!r}: holds no run folder")
    single = RunFolder(sweep_dir).exists()
    return run_sweep(points, sweep_dir, retry_failed=True, single=single)


def _point_of(folder: RunFolder) -> Point:
    mapping = folder.config()
    assert mapping is not None
    return Point((), RunConfig.from_mapping(mapping), folder)


def _is_done(point: Point) -> bool:
    status = point.folder.status()
    return status is not None and status.state == "done"


def _is_waiting(status: Status | None, retry_failed: bool) -> bool:
    if status is None:
        return True
    if status.state == "failed":
        return retry_failed
    return status.state != "done" and not status.is_live()


def _train(pack: Pack, group: str, progress: Progress) -> None:
    """Train a pack; what stops it is recorded with its members and does not stop the others."""
    try:
        train_pack(pack, group, progress)
    except Exception as error:
        _mark_failed(pack, error)
        warnings.warn(f"{len(pack.points)} runs stopped: {error}", stacklevel=2)


def _mark_failed(pack: Pack, error: Exception) -> None:
    """Record an error that came before the run files were opened, which would otherwise leave no trace."""
    for point in pack.points:
        status = point.folder.status()
        if status is None or status.state not in ("failed", "done"):
            steps = point.config.trainer.max_steps
            reason = f"{type(error).__name__}: {error}"
            point.folder.write_status(
                Status("failed", pack.start_step, steps, point.signature, point.folder.name, error=reason)
            )


def _outcome(points: Sequence[Point], sweep_dir: Path, skipped: int, interrupted: bool) -> SweepOutcome:
    states = {point.folder.name: point.folder.status() for point in points}
    failed = tuple(name for name, status in states.items() if status is not None and status.state == "failed")
    done = sum(_is_done(point) for point in points)
    return SweepOutcome(sweep_dir, len(points), done, failed, skipped, interrupted)
