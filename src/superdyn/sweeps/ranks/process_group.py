"""The process group of the ranks of one run, and how Lightning sees it.

Lightning starts no ranks: `group.py` starts torchrun, or the user starts torchrun or srun (`place.py`).
"""

import gc
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy

from superdyn.config import ConfigError, RunConfig, TrainerConfig
from superdyn.sweeps.exit_codes import WRONG_INPUT
from superdyn.sweeps.ranks.agreement import agree, met_store
from superdyn.sweeps.ranks.keep_alive import notice_lost_machines
from superdyn.sweeps.ranks.node_address import node_address
from superdyn.sweeps.ranks.place import Place, place
from superdyn.sweeps.ranks.sharded_strategy import ShardStrategy
from superdyn.sweeps.ranks.shared_folder import check_shared
from superdyn.training.data_parallel import RankLost, Ranks, brief

Value = TypeVar("Value")


@contextmanager
def joined(configs: Sequence[RunConfig], sweep_dir: Path) -> Iterator[Ranks]:
    """The process group of the ranks of these runs in `sweep_dir`; a process that is no rank stays alone.

    After an error the group is left as it is, since others may still wait in it; the process then ends.

    Raises:
        ConfigError: the ranks do not fit their machines, do not agree or do not reach each other.
        RankLost: one of them is gone; only the first rank of a machine says so.
    """
    here = place()
    if here is None or not configs:
        yield Ranks.current()
        return
    environment = cluster_environment(here)
    if here.starter == "srun" and "MASTER_ADDR" not in os.environ:
        first = SLURMEnvironment.resolve_root_node_address(os.environ["SLURM_STEP_NODELIST"])
        os.environ["MASTER_ADDR"] = node_address(first)
    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = environment.main_address, str(environment.main_port)
    on_gpu = lightning_accelerator(configs[0].trainer) == "gpu"
    if on_gpu:
        torch.cuda.set_device(environment.local_rank())
    store = met_store(here)
    try:
        agree(here, configs, store)
        _start(here, "cpu:gloo,cuda:nccl" if on_gpu else "gloo", store)
        if here.n_machines > 1 and configs[0].trainer.shards:
            check_shared(Ranks.current(), sweep_dir)
        yield Ranks.current()
    except (ConfigError, RankLost) as error:
        if here.local_rank == 0:
            raise
        raise SystemExit(WRONG_INPUT if isinstance(error, ConfigError) else 1) from error
    gc.collect()  # what is left of sharded runs holds the group, whose threads must end before the interpreter does
    dist.destroy_process_group()


def _start(
    here: Place,
    backend: str,
    store: dist.Store,  # pyright: ignore[reportPrivateImportUsage]
) -> None:
    """Connect the ranks; what they decide together travels on the host, so that no GPU is waited for."""
    try:
        dist.init_process_group(backend, store=store, rank=here.rank, world_size=here.size)
    except RuntimeError as error:
        said = brief(error)
        raise ConfigError(
            f"the ranks on {socket.gethostname()} cannot reach all others ({said}); set GLOO_SOCKET_IFNAME=NAME on "
            f"every machine to the network interface between them, which ip address shows."
        ) from error
    if here.n_machines > 1:
        notice_lost_machines()


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

    def broadcast(self, obj: Value, src: int = 0) -> Value:
        """What the first rank has, which is the only one that Lightning asks."""
        return Ranks.current().from_first(obj)


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
    if here is None or Ranks.current().is_alone:
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
