"""Shards a language model by torch's FSDP2 (`fully_shard`; ZeRO-3 of Rajbhandari et al. 2020).

The whole parameters of a block exist from just before it computes to just after, forward and backward; those of the
embedding and the head during a step. The backward pass leaves on each rank its shard of the gradient of the global
batch, averaged over the ranks. Parameters are gathered in their own precision: rounding is autocast's.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, Shard

from superdyn.models.decoder.language_model import LanguageModel
from superdyn.models.decoder.linear import StackedLinear
from superdyn.training.data_parallel import Ranks
from superdyn.training.sharding import Sharding, cut_axis


def shard(student: LanguageModel, mesh: DeviceMesh, ranks: Ranks) -> Sharding:
    """Leave this rank its shards of every parameter of `student`, which must not have computed yet."""
    dims = {name: cut_axis(p.shape, ranks.size) for name, p in student.named_parameters()}

    def placement(parameter: nn.Parameter) -> Shard:
        return Shard(cut_axis(parameter.shape, ranks.size))

    for layer in student.blocks.layers:
        fully_shard(layer, mesh=mesh, shard_placement_fn=placement)
    fully_shard(student, mesh=mesh, shard_placement_fn=placement)
    register_fsdp_forward_method(student, "loss")
    for module in student.modules():
        if isinstance(module, StackedLinear):
            module.sharded = True
    return Sharding(ranks, dims)


@torch.no_grad()
def keep_in(student: nn.Module, shards: Mapping[str, Tensor]) -> None:
    """Have these parameters lie in these tensors, their shards, which an optimizer updates."""
    state = {}
    for name, shard in shards.items():
        old = student.get_parameter(name)
        assert isinstance(old, DTensor)
        mesh, placements, shape, stride = old.device_mesh, old.placements, old.shape, old.stride()
        state[name] = DTensor.from_local(shard, mesh, placements, run_check=False, shape=shape, stride=stride)
    student.load_state_dict(state, strict=False, assign=True)


def release(student: nn.Module) -> None:
    """Let go of the whole parameters that a forward pass leaves to a backward pass, which did not come."""
    if isinstance(student, FSDPModule):
        student.reshard()
