"""Whether runs fit the ranks that were started, or those that a launch starts; said before anything is written.

What one machine refuses, the ranks on the others are told; only for that is torch imported.
"""

import os
from collections.abc import Sequence

from superdyn.config import ConfigError, RunConfig, TrainerConfig
from superdyn.sweeps.ranks.place import Place, place


def check_start(configs: Sequence[RunConfig]) -> None:
    """Refuse runs that do not fit this process's place, before anything is written.

    Raises:
        ConfigError: with the settings or the command that work.
    """
    here = place()
    try:
        _check_fit(here, configs)
    except ConfigError as error:
        if here is not None and here.n_machines > 1:
            from superdyn.sweeps.ranks.agreement import tell_others  # with torch

            tell_others(here, str(error))
        raise


def _check_fit(here: Place | None, configs: Sequence[RunConfig]) -> None:
    if len({(config.trainer.devices, config.trainer.num_nodes) for config in configs}) > 1:
        raise ConfigError("trainer.devices, trainer.num_nodes: must be the same for all runs of a launch.")
    trainer = configs[0].trainer
    asked = f"trainer.devices={trainer.devices}, trainer.num_nodes={trainer.num_nodes}"
    if here is None and trainer.num_nodes > 1 and configs[0].launcher.name != "slurm":
        raise ConfigError(
            f"{asked}: every machine must start its ranks: torchrun --nnodes {trainer.num_nodes} --nproc-per-node "
            f"{trainer.devices} --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m superdyn.cli train … on each, "
            f"or srun --nodes {trainer.num_nodes} --ntasks-per-node {trainer.devices} superdyn train …; "
            f"launcher=slurm does so in its jobs."
        )
    if here is not None and (trainer.n_ranks, trainer.devices) != (here.size, here.local_size):
        raise ConfigError(
            f"{asked}: {here.starter} started {here.size} ranks, {here.local_size} on each machine; allowed is "
            f"{_group(trainer)} trainer.devices={here.local_size} "
            f"trainer.num_nodes={here.size // here.local_size}."
        )
    if here is not None and here.starter == "srun" and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise ConfigError(
            f"SLURM_NTASKS_PER_NODE: unset, though srun started {here.size} ranks; start them with srun "
            f"--ntasks-per-node={here.local_size}."
        )


def check_multirun(config: RunConfig) -> None:
    """Refuse a point of a sweep that every rank would train whole, or whose packs have no group of ranks.

    Raises:
        ConfigError: with the command that works.
    """
    here = place()
    trainer, launcher = config.trainer, config.launcher.name
    works = f"superdyn train -m launcher=local {_group(trainer)} trainer.devices="
    if here is not None:
        raise ConfigError(
            f"-m: {here.starter} started {here.size} ranks, and each would train the whole sweep; instead, "
            f"{works}{here.local_size} … starts a group of ranks for each point."
        )
    if trainer.num_nodes > 1 and launcher != "slurm":
        raise ConfigError(
            f"trainer.num_nodes={trainer.num_nodes}: with -m, launcher={launcher} trains each run on one machine; "
            f"superdyn train -m launcher=slurm {_group(trainer)} trainer.devices={trainer.devices} "
            f"trainer.num_nodes={trainer.num_nodes} … gives each job that many nodes."
        )
    if trainer.n_ranks > 1 and launcher == "pack":
        raise ConfigError(
            f"trainer.devices={trainer.devices}: with -m, launcher=pack trains runs in this process on one "
            f"device; {works}{trainer.devices} … starts a group of ranks for each point."
        )


def _group(trainer: TrainerConfig) -> str:
    """The choice of `trainer` for several ranks: that of the configuration where it is one."""
    return f"trainer={'ddp' if trainer.strategy == 'single' else trainer.strategy}"
