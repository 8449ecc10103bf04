"""Trains the points of a sweep: skips what is done, has an executor train the rest, and leaves a folder to go on from.

Several processes may work on one sweep: each trains what is free and waits for what the others train, to take over what
they leave unfinished.
"""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from superdyn.config import ConfigError
from superdyn.runs.adopt import adopt_runs
from superdyn.runs.drift import warn_of_drift
from superdyn.runs.faults import HandedOver, SweepStoppedError, fault_of
from superdyn.runs.ownership import sweep_lock
from superdyn.runs.sweep_folder import SweepPoint, add_points
from superdyn.runs.token_data import check_tokens_unchanged
from superdyn.sweeps.executors import train_points
from superdyn.sweeps.idle_settings import warn_of_idle_settings
from superdyn.sweeps.launch import Launch, failures
from superdyn.sweeps.other_study import warn_of_other_study
from superdyn.sweeps.outcome import SweepOutcome, outcome_of
from superdyn.sweeps.points import Grid, Point
from superdyn.sweeps.ranks.admission import check_start
from superdyn.sweeps.ranks.place import place

_TRIES = 3
"""A point that is free again after this many turns stays as it is until the next launch."""

_WAIT_SECONDS = 1.0
_SAY_SECONDS = 60.0


def launch_grid(grid: Grid, sweep_dir: Path, *, single: bool = False) -> SweepOutcome | None:
    """Train the points of a grid, or with `sweep.plan` only say what would be trained.

    Raises:
        ConfigError: as `run_sweep`.
    """
    settings = grid.points[0].config.sweep
    if settings.plan:
        from superdyn.sweeps.plan import print_plan  # with torch and Lightning, for which a done sweep need not wait

        if not single:
            warn_of_other_study(grid.points, sweep_dir)
        print_plan(grid.points, sweep_dir, retry_failed=settings.retry)
        return None
    outcome = run_sweep(grid.points, sweep_dir, retry_failed=settings.retry, single=single)
    return None if outcome is None else replace(outcome, experiments=grid.experiments)


def run_sweep(
    points: Sequence[Point], sweep_dir: Path, *, retry_failed: bool = False, single: bool = False
) -> SweepOutcome | None:
    """Train every point that is neither done nor (unless `retry_failed`) failed; wait for those in training elsewhere.

    Ctrl-C, a lost device or a full disk stop the sweep; the outcome then says so and the same call goes on from there.

    Args:
        points: what to train.
        sweep_dir: the folder of the sweep, or with `single` of the one run.
        retry_failed: train failed points too.
        single: there is one point, and no list of points is kept.

    Returns:
        None in a process that follows the first of several ranks.

    Raises:
        ConfigError: the folder cannot be written, or the runs do not fit the ranks that were started.
    """
    configs = [point.config for point in points]
    check_start(configs)
    if place() is None:
        return _lead(points, sweep_dir, retry_failed, single)
    from superdyn.sweeps.ranks.process_group import (
        joined,  # with torch and Lightning, for which a done sweep need not wait
    )
    from superdyn.sweeps.train_pack import dismiss_followers, follow_packs

    with joined(configs, sweep_dir) as ranks:
        if not ranks.is_first:
            follow_packs()
            return None
        outcome = _lead(points, sweep_dir, retry_failed, single)
        if not outcome.interrupted and outcome.stopped is None:
            dismiss_followers()
        return outcome


def _lead(points: Sequence[Point], sweep_dir: Path, retry_failed: bool, single: bool) -> SweepOutcome:
    """`run_sweep` in the process that decides what is trained: the only one, or the first of several ranks."""
    if not single:
        warn_of_other_study(points, sweep_dir)
    _open_folders(points, sweep_dir, single)
    done = [point.folder for point in points if point.state() == "done"]
    skipped = len(done)
    launch = Launch(sweep_dir, tuple(points), failures(points) if retry_failed else {})
    waiting = launch.waiting()
    warn_of_drift(done, [point.folder for point in waiting])
    if any(point.config.data.reads_files for point in points):
        check_tokens_unchanged(done, [point.folder for point in waiting])
    warn_of_idle_settings(waiting, points)
    how: dict[str, Any] = {}
    try:
        _train_all(launch, skipped)
    except KeyboardInterrupt:
        how = {"interrupted": True}
    except SweepStoppedError as error:
        how = {"stopped": str(error)}
    except HandedOver as left:
        how = {"handed_over": str(left)}
    return replace(outcome_of(points, sweep_dir, skipped), **how)


def _open_folders(points: Sequence[Point], sweep_dir: Path, single: bool) -> None:
    try:
        sweep_dir.mkdir(parents=True, exist_ok=True)
        with sweep_lock(sweep_dir):
            adopt_runs(sweep_dir, [(point.folder, point.signature) for point in points])
            if not single:
                add_points(sweep_dir, [SweepPoint(p.signature, p.folder.name, p.overrides) for p in points])
            for point in points:
                if not point.folder.exists():
                    point.folder.prepare(point.config.to_mapping(), point.signature)
    except OSError as error:
        if fault_of(error) != "storage":
            raise
        key = "hydra.run.dir" if single else "hydra.sweep.dir"
        raise ConfigError(
            f"{key}={str(sweep_dir)!r}: cannot be written ({error.strerror}); choose a writable folder with free space."
        ) from error


def _train_all(launch: Launch, skipped: int) -> None:
    turns: Counter[str] = Counter()
    said = -_SAY_SECONDS
    while True:
        waiting = [point for point in launch.waiting() if turns[point.signature] < _TRIES]
        if waiting:
            turns.update(point.signature for point in waiting)
            train_points(launch, waiting, skipped)
            continue
        elsewhere = launch.live()
        if not elsewhere:
            return
        if not launch.points[0].config.launcher.wait:
            raise HandedOver(f"{len(elsewhere)} runs are in training; follow them: superdyn status {launch.sweep_dir}")
        if time.monotonic() - said >= _SAY_SECONDS:
            by = sorted({f"process {status.pid} on {status.host}" for _, status in elsewhere})
            print(f"waiting for {len(elsewhere)} runs that {', '.join(by)} trains", flush=True)
            said = time.monotonic()
        time.sleep(_WAIT_SECONDS)
