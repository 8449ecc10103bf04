"""The points of a sweep: overrides composed into typed configurations, each with a folder of its own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from superdyn.conf_path import conf_path
from superdyn.config import ClaimConfig, RunConfig
from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_folder import read_manifest, run_folder_name
from superdyn.sweeps.ranks import check_multirun
from superdyn.sweeps.resolvers import register_resolvers, to_run_config
from superdyn.training.feasible import check_feasible


@dataclass(frozen=True)
class Point:
    """One run to be: what the user asked for, what that means, and where it goes."""

    overrides: tuple[str, ...]
    config: RunConfig
    folder: RunFolder

    @property
    def signature(self) -> str:
        """Hex digest that names the run."""
        return self.config.signature()


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
    jobs: Sequence[Sequence[str]], sweep_dir: Path, compose: Callable[[Sequence[str]], DictConfig]
) -> Grid:
    """Compose every job; jobs that mean the same run become one point, in the folder that it already has, if any.

    Args:
        jobs: override lists, one a job.
        sweep_dir: where the run folders go.
        compose: composes one job's configuration.

    Raises:
        ConfigError: the first job that cannot run, before anything trains.
    """
    swept = _swept_keys(jobs)
    known = {point.signature: point.folder for point in read_manifest(sweep_dir)}
    points: dict[str, Point] = {}
    members: dict[str, list[tuple[ClaimConfig | None, str]]] = {}
    for job in jobs:
        config = to_run_config(compose(job))
        signature = config.signature()
        members.setdefault(config.name, []).append((config.claim, signature))
        if signature in points:
            continue
        check_feasible(config)
        check_multirun(config)
        values = {key: value for key, value in _pairs(job) if key in swept}
        name = known.get(signature) or run_folder_name(values, signature)
        points[signature] = Point(tuple(job), config, RunFolder(sweep_dir / name))
    experiments = {
        name: Experiment(found[0][0], tuple(dict.fromkeys(signature for _, signature in found)))
        for name, found in members.items()
    }
    return Grid(tuple(points.values()), experiments)


def single_point(config: DictConfig, folder: Path) -> Point:
    """The point of a single run, whose folder is `hydra.run.dir` itself.

    Raises:
        ConfigError: it cannot run.
    """
    typed = to_run_config(config)
    check_feasible(typed)
    return Point((), typed, RunFolder(folder))


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
    """
    absent = [point for point in read_manifest(sweep_dir) if not RunFolder(sweep_dir / point.folder).exists()]
    if not absent:
        return []
    import hydra_plugins.superdyn_plugins  # noqa: F401  (Hydra finds hydra/launcher=superdyn there)

    register_resolvers()
    with initialize_config_dir(str(conf_path()), version_base="1.3"):
        configs = [to_run_config(compose("config", list(point.overrides))) for point in absent]
    return [
        Point(point.overrides, config, RunFolder(sweep_dir / point.folder))
        for point, config in zip(absent, configs, strict=True)
    ]


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
