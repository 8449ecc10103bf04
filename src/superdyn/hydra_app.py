"""`superdyn train`: Hydra's own command line in front of a run or a sweep."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from omegaconf import DictConfig

from hydra_plugins.superdyn_plugins import PackLauncher, UnionSweeper
from superdyn.conf_path import conf_path
from superdyn.sweeps.outcome import SweepOutcome
from superdyn.sweeps.overrides import single_point
from superdyn.sweeps.points import Grid
from superdyn.sweeps.resolvers import register_resolvers
from superdyn.sweeps.sweep import launch_grid

DRY_RUN = "--dry-run"


def train(overrides: Sequence[str]) -> SweepOutcome | None:
    """Train a run, or with `-m` a sweep, as Hydra's command line says.

    Args:
        overrides: what follows `superdyn train`: Hydra overrides and flags, unchanged; `--dry-run` is short for
            `sweep.plan=true`.

    Returns:
        What became of the runs; None for flags such as `--cfg job` that train nothing.

    Raises:
        Exception: whatever Hydra, the schema or training raised; `refusals.sentence` words it for the user.
    """
    register_with_hydra()
    if DRY_RUN in overrides:  # at the end, since Hydra wants its flags before the overrides
        overrides = [*(text for text in overrides if text != DRY_RUN), "sweep.plan=true"]
    outcomes: list[SweepOutcome] = []

    refused: list[ValueError] = []

    def task(config: DictConfig) -> None:
        folder = Path(HydraConfig.get().runtime.output_dir)
        try:
            point = single_point(config, folder, HydraConfig.get().overrides.task)
            outcome = launch_grid(Grid((point,), {}), folder, single=True)
            outcomes.extend([outcome] if outcome else [])
        except ValueError as error:  # Hydra would print a headline of its own above it
            refused.append(error)
        with suppress(OSError):  # Hydra makes it before anything is known; it stays when anything is in it
            folder.rmdir()

    # Hydra's main returns nothing; the launcher, which gets the task, leaves a sweep's outcome here.
    task.outcomes = outcomes  # pyright: ignore[reportFunctionMemberAccess]
    with _command_line(["superdyn train", *overrides]):
        hydra.main(version_base="1.3", config_path=str(conf_path()), config_name="config")(task)()
    if refused:
        raise refused[0]
    return outcomes[-1] if outcomes else None


def register_with_hydra() -> None:
    """Resolvers, launcher and sweeper; needed because Hydra's scan misses plugins of some editable installs."""
    register_resolvers()
    for plugin in (PackLauncher, UnionSweeper):
        Plugins.instance().register(plugin)


@contextmanager
def _command_line(argv: list[str]) -> Iterator[None]:
    """Show Hydra this command line, and have it hand errors to us instead of printing them and exiting."""
    before, sys.argv = sys.argv, argv
    full_error = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"
    try:
        yield
    finally:
        sys.argv = before
        if full_error is None:
            del os.environ["HYDRA_FULL_ERROR"]
        else:
            os.environ["HYDRA_FULL_ERROR"] = full_error
