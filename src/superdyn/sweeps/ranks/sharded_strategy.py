"""Lightning's ModelParallelStrategy for a run whose parameters are sharded over its ranks (`trainer.strategy=fsdp`).

It lays the ranks out as a device mesh with the one axis "data_parallel" before it asks the module to shard itself
(`SuperpositionModule.configure_model`). As `RankStrategy` it starts no process and handles no signal.
"""

from typing import TypeVar

import pytorch_lightning as pl
import torch.distributed as dist
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import ModelParallelStrategy
from pytorch_lightning.strategies.parallel import ParallelStrategy
from torch.distributed.device_mesh import DeviceMesh

from superdyn.training.data_parallel import Ranks

Value = TypeVar("Value")


class ShardStrategy(ModelParallelStrategy):
    """For ranks that are there already; checkpoints are `RunFiles`'."""

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

    def setup(self, trainer: pl.Trainer) -> None:
        """Prepare module and optimizer; keep Lightning from handling signals."""
        super().setup(trainer)
        trainer._signal_connector.register_signal_handlers = lambda: None

    def _configure_launcher(self) -> None:
        """The ranks are there already."""

    def barrier(self, name: str | None = None) -> None:
        """Wait for all ranks, on the host."""
        Ranks.current().largest([0])

    def broadcast(self, obj: Value, src: int = 0) -> Value:
        """What the first rank has, which is the only one that Lightning asks."""
        return Ranks.current().from_first(obj)
