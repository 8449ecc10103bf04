"""The points of a sweep: overrides composed into typed configurations, each with a folder of its own."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from superdyn.conf_path import conf_path
from superdyn.config import ClaimConfig, ConfigError, RunConfig
from superdyn.runs.adopt import older_runs_among, reread, warn_of_refused
from superdyn.runs.folder import RunFolder
from superdyn.runs.ownership import current_status
from superdyn.runs.sweep_folder import MANIFEST, read_manifest, run_folder_name, run_folders
from superdyn.sweeps.ranks.admission import check_multirun
from superdyn.sweeps.resolvers import register_resolvers, to_run_config


@dataclass(frozen=True)
class Point:
    """One run to be: what the user asked for, what that means, and where it goes."""

    overrides: tuple[str, ...]
    config: RunConfig
    folder: RunFolder

    @cached_property
    def signature(self) -> str:
        """Hex digest that names the run."""
        return self.config.signature()

    def is_done(self) -> bool:
        """Whether the run in the point's folder has finished."""
        status = current_status(self.folder)
        return status is not None and status.state == "done"


@dataclass(frozen=True)
class Experiment:
    """The part of a launch that belongs to one experiment: its claim and the signatures of its runs."""

    claim: ClaimConfig | None
    signatures: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A launch: its distinct points, and by name the experiments that need them (one run may serve several)."""

    points: tuple[Point, ...]
    experiments: Mapping[str, Experiment]


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
    known = {point.signature: point.folder for point in read_manifest(sweep_dir)}
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


def single_point(config: DictConfig, folder: Path) -> Point:
    """The point of a single run, whose folder is `hydra.run.dir` itself.

    Raises:
        ConfigError: it cannot run.
    """
    point = Point((), to_run_config(config), RunFolder(folder))
    _check_feasible([point])
    return point


def recorded_points(sweep_dir: Path) -> list[Point]:
    """The points of a sweep or run as its folder describes them: those that have a run folder, then the missing ones.

    A run whose configuration the present schema cannot read is named in a warning and left as it is.

    Raises:
        ValueError: `sweep_dir` holds no run; ConfigError: none that can be read.
    """
    readings = [reread(folder) for folder in run_folders(sweep_dir)]
    points = [Point((), reading.config, reading.folder) for reading in readings if reading.config is not None]
    points += missing_points(sweep_dir)
    refused = [reading for reading in readings if reading.config is None]
    if not points and refused:
        raise ConfigError(f"{refused[0].folder.path / 'config.yaml'}: {refused[0].refusal}")
    if not points:
        raise ValueError(f"path={str(sweep_dir)!r}: holds no run folder")
    warn_of_refused(refused)
    return points


def point_of(folder: RunFolder) -> Point:
    """The point that a run folder's own configuration describes.

    Raises:
        ValueError: the folder has no configuration, or one that cannot be read or run.
    """
    mapping = folder.config()
    if mapping is None:
        raise ValueError(f"{folder.path}: holds no config.yaml, so there is no run to go on with")
    return Point((), RunConfig.from_mapping(mapping), folder)


def missing_points(sweep_dir: Path) -> list[Point]:
    """Points that the manifest lists and that have no folder, composed anew from their overrides.

    Raises:
        HydraException: an override names what superdyn's own `conf` lacks; the sweep's command then trains the point.
        ConfigError: an override reads the environment, of which a manifest may come from someone else.
    """
    absent = [point for point in read_manifest(sweep_dir) if not RunFolder(sweep_dir / point.folder).exists()]
    if not absent:
        return []
    for override in (override for point in absent for override in point.overrides):
        if "oc.env" in override:
            raise ConfigError(
                f"{sweep_dir / MANIFEST}: {override!r} reads the environment; use the sweep's own command."
            )
    import hydra_plugins.superdyn_plugins  # noqa: F401  (Hydra finds hydra/launcher=superdyn there)

    register_resolvers()
    with initialize_config_dir(str(conf_path()), version_base="1.3"):
        configs = [to_run_config(compose("config", list(point.overrides))) for point in absent]
    return [
        Point(point.overrides, config, RunFolder(sweep_dir / point.folder))
        for point, config in zip(absent, configs, strict=True)
    ]


def _check_feasible(points: Iterable[Point]) -> None:
    """Refuse the first point that cannot train; a run that is done is not asked."""
    waiting = [point for point in points if not point.is_done()]
    if waiting:
        from superdyn.training.feasible import check_feasible  # imports torch, for which a done sweep need not wait

        for point in waiting:
            check_feasible(point.config)


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
