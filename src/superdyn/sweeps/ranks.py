"""This process's place among the ranks of a data-parallel run, as torchrun or srun gives it, and how Lightning sees it.

Lightning starts no ranks: `group.py` starts torchrun, or the user starts torchrun or srun, and every rank finds its
place in the environment.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy

from superdyn.config import ConfigError, RunConfig, TrainerConfig
from superdyn.training.data_parallel import Ranks


@dataclass(frozen=True)
class Place:
    """Rank `rank` of `size`, one of `local_size` on its machine, started by `starter`."""

    starter: str
    rank: int
    size: int
    local_size: int

    def cluster_environment(self) -> ClusterEnvironment:
        """Where Lightning reads the same."""
        return TorchElasticEnvironment() if self.starter == "torchrun" else SLURMEnvironment(auto_requeue=False)


def place() -> Place | None:
    """Where torchrun or srun has put this process; None where neither has started more than one.

    A batch script has SLURM's variables for the tasks of its job too; those of a step (SLURM_STEP_…) mean srun.
    """
    found = os.environ
    if int(found.get("WORLD_SIZE", 1)) > 1 and "RANK" in found and "LOCAL_WORLD_SIZE" in found:
        return Place("torchrun", int(found["RANK"]), int(found["WORLD_SIZE"]), int(found["LOCAL_WORLD_SIZE"]))
    tasks = int(found.get("SLURM_STEP_NUM_TASKS", 1))
    if tasks > 1 and "SLURM_PROCID" in found:
        return Place("srun", int(found["SLURM_PROCID"]), tasks, tasks // int(found.get("SLURM_STEP_NUM_NODES", 1)))
    return None


def check_start(configs: Sequence[RunConfig]) -> None:
    """Refuse runs that do not fit this process's place, before anything is written.

    Raises:
        ConfigError: with the settings or the command that work.
    """
    here = place()
    if len({(config.trainer.devices, config.trainer.num_nodes) for config in configs}) > 1:
        raise ConfigError("trainer.devices, trainer.num_nodes: the runs of one launch must agree in them.")
    for trainer in (config.trainer for config in configs[:1]):
        asked = f"trainer.devices={trainer.devices}, trainer.num_nodes={trainer.num_nodes}"
        if here is None and trainer.num_nodes > 1:
            raise ConfigError(
                f"{asked}: every machine must start its ranks: torchrun --nnodes {trainer.num_nodes} --nproc-per-node "
                f"{trainer.devices} --rdzv-backend c10d --rdzv-endpoint HOST:29500 -m superdyn.cli train … on each, "
                f"or srun --nodes {trainer.num_nodes} --ntasks-per-node {trainer.devices} superdyn train …"
            )
        if here is not None and (trainer.n_ranks, trainer.devices) != (here.size, here.local_size):
            raise ConfigError(
                f"{asked}: {here.starter} started {here.size} ranks, {here.local_size} on each machine; allowed is "
                f"trainer=ddp trainer.devices={here.local_size} trainer.num_nodes={here.size // here.local_size}."
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
    works = "superdyn train -m launcher=local trainer=ddp trainer.devices="
    if here is not None:
        raise ConfigError(
            f"-m: {here.starter} started {here.size} ranks, and each would train the whole sweep; without it, "
            f"{works}{here.local_size} … starts a group of ranks for each point."
        )
    if config.trainer.n_ranks > 1 and config.launcher.name == "pack":
        raise ConfigError(
            f"trainer.devices={config.trainer.devices}: with -m, launcher=pack trains runs in this process on one "
            f"device; {works}{config.trainer.devices} … starts a group of ranks for each point."
        )


@contextmanager
def joined(configs: Sequence[RunConfig]) -> Iterator[Ranks]:
    """The process group of the ranks of these runs; a process that is no rank stays alone.

    After an error the group is left as it is, since others may still wait in it; the process then ends.
    """
    here = place()
    if here is None or not configs:
        yield Ranks.current()
        return
    environment = here.cluster_environment()
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
    on_gpu = lightning_accelerator(configs[0].trainer) == "gpu"
    if on_gpu:
        torch.cuda.set_device(environment.local_rank())
    # What ranks decide together travels on the host, so that no GPU is waited for.
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, rank=here.rank, world_size=here.size)
    yield Ranks.current()
    dist.destroy_process_group()


class RankStrategy(DDPStrategy):
    """Lightning's DDP without its launcher, its wrapper (the engine reduces gradients itself) and its signal handler.

    That handler answers SIGTERM with a broadcast, which would meet the reductions that the signal interrupts;
    `RunFiles` listens instead.
    """

    def setup(self, trainer: pl.Trainer) -> None:
        """Prepare module and optimizer; keep Lightning from handling signals."""
        super().setup(trainer)
        trainer._signal_connector.register_signal_handlers = lambda: None

    def configure_ddp(self) -> None:
        """Leave the module as it is."""

    def _configure_launcher(self) -> None:
        """The ranks are there already."""

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """Wait for all ranks, on the host."""
        Ranks.current().largest([0])


def lightning_accelerator(trainer: TrainerConfig) -> str:
    """`trainer.accelerator`, where several ranks need to know what `auto` will be."""
    if trainer.accelerator == "auto" and trainer.n_ranks > 1:
        return "gpu" if torch.cuda.is_available() else "cpu"
    return trainer.accelerator


def lightning_placement(trainer: TrainerConfig) -> dict[str, Any]:
    """What Lightning's Trainer must know of devices and ranks.

    The cluster environment is always named, so that Lightning does not take a SLURM job over or advise against a
    cluster's login node.
    """
    here = place()
    if here is None or Ranks.current().size == 1:
        return {"accelerator": trainer.accelerator, "devices": 1, "plugins": [LightningEnvironment()]}
    return {
        "accelerator": lightning_accelerator(trainer),
        "devices": trainer.devices,
        "num_nodes": trainer.num_nodes,
        "strategy": RankStrategy(cluster_environment=here.cluster_environment()),
    }
