"""How Lightning sees the ranks of a run: it starts none, and leaves gradients, signals and checkpoints to superdyn.

`RankStrategy` is DDP, `ShardStrategy` shards the parameters (`trainer.strategy=fsdp`). Both take their place from
torchrun or srun, whoever started them.
"""

from typing import Any, TypeVar

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.plugins.environments.slurm import SLURMEnvironment
from lightning_fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from pytorch_lightning.strategies import DDPStrategy, ModelParallelStrategy
from pytorch_lightning.strategies.parallel import ParallelStrategy
from torch.distributed.device_mesh import DeviceMesh

from superdyn.config import TrainerConfig
from superdyn.sweeps.ranks.place import Place, place
from superdyn.training.data_parallel import Ranks

Value = TypeVar("Value")


class _StartedRanks(ParallelStrategy):
    """What the strategies have in common: the ranks are there already, talk on the host, and handle no signal.

    Lightning answers SIGTERM with a broadcast, which would meet the reductions that the signal interrupts; `RunFiles`
    listens instead.
    """

    def setup(self, trainer: pl.Trainer) -> None:
        """Prepare module and optimizer; keep Lightning from handling signals."""
        super().setup(trainer)
        trainer._signal_connector.register_signal_handlers = lambda: None

    def _configure_launcher(self) -> None:
        """The ranks are there already."""

    def barrier(self, *args: Any, **kwargs: Any) -> None:
        """Wait for all ranks."""
        Ranks.current().largest([0])

    def broadcast(self, obj: Value, src: int = 0) -> Value:
        """What the first rank has, which is the only one that Lightning asks."""
        return Ranks.current().from_first(obj)


class RankStrategy(_StartedRanks, DDPStrategy):
    """DDP without its wrapper: the engine reduces gradients itself."""

    def configure_ddp(self) -> None:
        """Leave the module as it is."""


class ShardStrategy(_StartedRanks, ModelParallelStrategy):
    """Lays the ranks out as a device mesh with the one axis "data_parallel" before the module shards itself.

    That is `SuperpositionModule.configure_model`; checkpoints are `RunFiles`'.
    """

    def __init__(self, cluster_environment: ClusterEnvironment):
        super().__init__(data_parallel_size=Ranks.current().size, tensor_parallel_size=1)
        self.cluster_environment = cluster_environment

    def setup_environment(self) -> None:
        """Make the mesh of the group of all ranks; groups of its own would be left open by every run."""
        ParallelStrategy.setup_environment(self)
        self.set_world_ranks()
        group, device = dist.group.WORLD, self.root_device.type
        assert group is not None, "joined before Lightning starts"
        self._device_mesh = DeviceMesh.from_group(group, device, mesh_dim_names=("data_parallel",))
        assert self.lightning_module is not None
        self.lightning_module._device_mesh = self._device_mesh


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
