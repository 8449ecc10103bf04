"""The process group of the ranks of one run, and how Lightning sees it.

Lightning starts no ranks: `group.py` starts torchrun, or the user starts torchrun or srun (`place.py`).
"""

import gc
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy

from superdyn.config import RunConfig, TrainerConfig
from superdyn.sweeps.ranks.place import Place, place
from superdyn.sweeps.ranks.sharded_strategy import ShardStrategy
from superdyn.training.data_parallel import Ranks


@contextmanager
def joined(configs: Sequence[RunConfig]) -> Iterator[Ranks]:
    """The process group of the ranks of these runs; a process that is no rank stays alone.

    After an error the group is left as it is, since others may still wait in it; the process then ends.
    """
    here = place()
    if here is None or not configs:
        yield Ranks.current()
        return
    environment = cluster_environment(here)
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
    on_gpu = lightning_accelerator(configs[0].trainer) == "gpu"
    if on_gpu:
        torch.cuda.set_device(environment.local_rank())
    # What ranks decide together travels on the host, so that no GPU is waited for.
    backend = "cpu:gloo,cuda:nccl" if on_gpu else "gloo"
    dist.init_process_group(backend, rank=here.rank, world_size=here.size)
    yield Ranks.current()
    gc.collect()  # what is left of sharded runs holds the group, whose threads must end before the interpreter does
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
    strategy = ShardStrategy if trainer.strategy == "fsdp" else RankStrategy
    return {
        "accelerator": lightning_accelerator(trainer),
        "devices": trainer.devices,
        "num_nodes": trainer.num_nodes,
        "strategy": strategy(cluster_environment=cluster_environment(here)),
    }


def cluster_environment(here: Place) -> ClusterEnvironment:
    """Where Lightning reads the same place."""
    return TorchElasticEnvironment() if here.starter == "torchrun" else SLURMEnvironment(auto_requeue=False)
