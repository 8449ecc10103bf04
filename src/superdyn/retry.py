"""`superdyn retry`: trains what failed, was interrupted or is missing of a sweep or run, as its folder says.

A run folder holds its own configuration; a point without one is composed anew from its overrides in the sweep's list.
"""

from pathlib import Path

from hydra import compose, initialize_config_dir

from superdyn.conf_path import conf_path
from superdyn.config import ConfigError
from superdyn.hydra_app import register_with_hydra
from superdyn.runs.adopt import reread, warn_of_refused
from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_folder import SWEEP_FILE, read_points, run_folders
from superdyn.sweeps.outcome import SweepOutcome
from superdyn.sweeps.points import Point
from superdyn.sweeps.resolvers import to_run_config
from superdyn.sweeps.sweep import run_sweep


def retry(sweep_dir: Path) -> SweepOutcome | None:
    """Train the failed, interrupted and missing points of a sweep or run, as its folder describes them.

    Raises:
        ValueError: `sweep_dir` holds no run.
    """
    points = recorded_points(sweep_dir)
    single = RunFolder(sweep_dir).exists()
    return run_sweep(points, sweep_dir, retry_failed=True, single=single)


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


def missing_points(sweep_dir: Path) -> list[Point]:
    """Points that the sweep lists and that have no folder, composed anew from their overrides.

    Raises:
        HydraException: an override names what superdyn's own `conf` lacks; the sweep's command then trains the point.
        ConfigError: an override reads the environment, and the list may come from someone else.
    """
    absent = [point for point in read_points(sweep_dir) if not RunFolder(sweep_dir / point.folder).exists()]
    if not absent:
        return []
    for override in (override for point in absent for override in point.overrides):
        if "oc.env" in override:
            raise ConfigError(
                f"{sweep_dir / SWEEP_FILE}: {override!r} reads the environment; use the sweep's own command."
            )
    register_with_hydra()
    with initialize_config_dir(str(conf_path()), version_base="1.3"):
        configs = [to_run_config(compose("config", list(point.overrides))) for point in absent]
    return [
        Point(point.overrides, config, RunFolder(sweep_dir / point.folder))
        for point, config in zip(absent, configs, strict=True)
    ]
