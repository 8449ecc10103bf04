"""From what the user asks for to points: override lists composed, made typed configurations, and checked.

What cannot train is refused here, before anything is written.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from superdyn.config import ClaimConfig, RunConfig
from superdyn.runs.adopt import older_runs_among
from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_folder import read_points, run_folder_name
from superdyn.sweeps.idle_settings import refuse_idle_settings
from superdyn.sweeps.points import Experiment, Grid, Point
from superdyn.sweeps.ranks.admission import check_multirun
from superdyn.sweeps.resolvers import to_run_config


def compose_grid(
    jobs: Sequence[Sequence[str]], sweep_dir: Path, compose: Callable[[Sequence[str]], Mapping[str, Any]]
) -> Grid:
    """Compose every job; jobs that mean the same run become one point, in the folder that it already has, if any.

    Runs that an older configuration schema described are recognised (`runs/adopt.py`).

    Args:
        jobs: override lists, one a job.
        sweep_dir: where the run folders go.
        compose: composes one job's configuration (`composer.py`).

    Raises:
        ConfigError: the first job that cannot run, before anything trains.
    """
    swept = _swept_keys(jobs)
    wanted: dict[str, tuple[Sequence[str], RunConfig]] = {}
    members: dict[str, list[tuple[ClaimConfig | None, str]]] = {}
    for job in jobs:
        config = to_run_config(compose(job))
        signature = config.signature()
        members.setdefault(config.name, []).append((config.claim, signature))
        wanted.setdefault(signature, (job, config))
    known = {point.signature: point.folder for point in read_points(sweep_dir)}
    known |= older_runs_among(sweep_dir, wanted.keys() - known.keys())
    points = []
    for signature, (job, config) in wanted.items():
        values = {key: value for key, value in _pairs(job) if key in swept}
        name = known.get(signature) or run_folder_name(values, signature)
        points.append(Point(tuple(job), config, RunFolder(sweep_dir / name)))
    for point in points:
        check_multirun(point.config)
    _check_feasible(points)
    experiments = {
        name: Experiment(found[0][0], tuple(dict.fromkeys(signature for _, signature in found)))
        for name, found in members.items()
    }
    return Grid(tuple(points), experiments)


def single_point(config: DictConfig, folder: Path, overrides: Sequence[str] = ()) -> Point:
    """The point of a single run, whose folder is `hydra.run.dir` itself; `overrides` are those of the command line.

    Raises:
        ConfigError: it cannot run.
    """
    point = Point(tuple(overrides), to_run_config(config), RunFolder(folder))
    _check_feasible([point])
    return point


def _check_feasible(points: Sequence[Point]) -> None:
    """Refuse the first point that cannot train, or sets what no point reads; a run that is done is not asked."""
    waiting = [point for point in points if point.state() != "done"]
    refuse_idle_settings(waiting, points)
    if waiting:
        # Both import torch, for which a done sweep need not wait.
        from superdyn.sweeps.starting import check_starts
        from superdyn.training.feasible import check_feasible

        for point in waiting:
            check_feasible(point.config)
        # A run that has a checkpoint of its own goes on by itself.
        check_starts(point.config for point in waiting if not any(point.folder.checkpoints.glob("step-*.pt")))


def _pairs(job: Sequence[str]) -> list[tuple[str, str]]:
    return [(key.lstrip("+~"), value) for key, _, value in (override.partition("=") for override in job)]


def _swept_keys(jobs: Sequence[Sequence[str]]) -> set[str]:
    """Keys whose value is not the same in all jobs; the experiment's name is not part of what a run is."""
    values: dict[str, set[Any]] = {}
    for job in jobs:
        pairs = dict(_pairs(job))
        for key in {*values, *pairs}:
            values.setdefault(key, set()).add(pairs.get(key))
    return {key for key, seen in values.items() if len(seen) > 1 and key != "experiment"}
