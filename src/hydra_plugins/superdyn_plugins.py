"""What superdyn adds to Hydra: a sweeper that unites grids, a launcher that trains packs, and the search path.

Hydra takes plugins from the `hydra_plugins` namespace only and imports them for every Hydra program in the
environment, so this file imports nothing heavy at the top.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf

_HERE = "hydra_plugins.superdyn_plugins"


@dataclass
class UnionSweeperConf:
    """`params`: the grid that all share; `grids`: further grids, whose union is swept."""

    _target_: str = f"{_HERE}.UnionSweeper"
    params: dict[str, Any] = field(default_factory=dict)
    grids: list[Any] = field(default_factory=list)


@dataclass
class PackLauncherConf:
    """The launcher takes its settings from the `launcher` group."""

    _target_: str = f"{_HERE}.PackLauncher"


class UnionSweeper(BasicSweeper):
    """Sweeps the union of several grids, and several experiments each with its own grids.

    Jobs are the product of `params`, one of `grids` and the command line, where the later wins.
    """

    def __init__(self, params: Mapping[str, Any], grids: Sequence[Mapping[str, Any]]):
        super().__init__(max_batch_size=None, params=None)
        self.grids = _united(params, grids)

    def sweep(self, arguments: list[str]) -> Any:
        assert self.launcher is not None
        jobs = [
            job for own, grids in self._experiments(arguments) for grid in grids for job in self._product(grid, own)
        ]
        return [self.launcher.launch(jobs, initial_job_idx=0)]

    def _experiments(self, arguments: list[str]) -> list[tuple[list[str], list[dict[str, Any]]]]:
        """(arguments, grids) of every experiment that a swept `experiment=a,b` names, else of this one."""
        overrides = self._parse(arguments)
        swept = [o for o in overrides if o.key_or_group == "experiment" and o.is_sweep_override()]
        if not swept:
            return [(arguments, self.grids)]
        assert self.hydra_context is not None
        assert self.config is not None
        rest = [o.input_line for o in overrides if o not in swept]
        fixed = [o.input_line for o in overrides if not o.is_sweep_override()]
        found = []
        for value in swept[-1].sweep_string_iterator():
            own = f"experiment={value}"
            config = self.hydra_context.config_loader.load_configuration(
                config_name=self.config.hydra.job.config_name,
                overrides=[*fixed, own],
                run_mode=RunMode.MULTIRUN,
            )
            sweeper = OmegaConf.to_container(config.hydra.sweeper, resolve=True)
            assert isinstance(sweeper, dict)
            found.append(([own, *rest], _united(sweeper["params"], sweeper["grids"])))
        return found

    def _product(self, grid: Mapping[str, Any], arguments: list[str]) -> list[list[str]]:
        overrides = self._parse([f"{key}={value}" for key, value in grid.items()] + arguments)
        for override in overrides:
            if override.is_interval_sweep():
                like = f"{override.key_or_group}=0.001,0.01,0.1"
                raise ValueError(f"{override.input_line}: a sweep is a grid of values, such as {like}.")
        jobs = self.split_arguments(overrides, None)[0]
        if not jobs:
            swept = " ".join(o.input_line for o in overrides if o.is_sweep_override())
            raise ValueError(f"{swept}: sweeps over no value at all; at least one of every swept key is needed.")
        return jobs

    def _parse(self, arguments: list[str]) -> list[Any]:
        assert self.hydra_context is not None
        return OverridesParser.create(config_loader=self.hydra_context.config_loader).parse_overrides(arguments)


def _united(params: Mapping[str, Any], grids: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The grids whose union is swept, each with what all share."""
    return [{**params, **grid} for grid in grids] or [dict(params)]


class PackLauncher(Launcher):
    """Hands all jobs of a sweep to superdyn, which trains runs of one shape together."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.hydra_context, self.config, self.task = hydra_context, config, task_function

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from superdyn.sweeps.composer import Composer
        from superdyn.sweeps.overrides import compose_grid
        from superdyn.sweeps.sweep import launch_grid

        sweep_dir = Path(self.config.hydra.sweep.dir)
        loader = self.hydra_context.config_loader
        composer = Composer(
            lambda job: loader.load_sweep_config(self.config, job),
            is_group=lambda key: key in loader.list_groups("") or loader.get_group_options(key) != [],
        )
        grid = compose_grid(job_overrides, sweep_dir, composer)
        outcome = launch_grid(grid, sweep_dir)
        if outcome is not None:
            getattr(self.task, "outcomes", []).append(outcome)
        return [JobReturn(overrides=[], status=JobStatus.COMPLETED, _return_value=outcome)]


class SuperdynSearchPath(SearchPathPlugin):
    """Puts superdyn's groups on the search path of any Hydra program, after the program's own."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        from superdyn.conf_path import conf_path

        search_path.append(provider="superdyn", path=f"file://{conf_path()}")


ConfigStore.instance().store(group="hydra/sweeper", name="superdyn", node=UnionSweeperConf, provider="superdyn")
ConfigStore.instance().store(group="hydra/launcher", name="superdyn", node=PackLauncherConf, provider="superdyn")
