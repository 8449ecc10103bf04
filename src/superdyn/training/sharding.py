"""Shards: of every parameter (r, …) each of W ranks keeps 1/W, cut along one axis behind the run axis.

What acts on entries one by one takes shards as they are. What acts on norms or whole matrices asks `Sharding`: the sum
of all entries is the sum of the ranks' sums, and a whole is the ranks' shards side by side. Without shards every method
is the identity. `fully_sharded.py` has torch do the cutting. Axis legend: `r` run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.distributed.tensor import DTensor

from superdyn.training.data_parallel import Ranks


class Place(NamedTuple):
    """Where a shard lies in its whole, which has `shape`: entries start … start + length − 1 of axis `dim`."""

    dim: int
    start: int
    length: int
    shape: tuple[int, ...]

    def of(self, whole: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """The shard as a view of what is whole along `dim`."""
        return whole.narrow(self.dim, self.start, self.length)


@dataclass(frozen=True)
class Sharding:
    """How the parameters of a student lie on the ranks.

    Attributes:
        ranks: the processes that share them.
        dims: by parameter (r, …) the axis that is cut; empty when every rank holds all.
    """

    ranks: Ranks = field(default_factory=lambda: Ranks(0, 1))
    dims: Mapping[str, int] = field(default_factory=dict)

    def total(self, x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """Σ over the ranks of what each has summed over its shards, in place."""
        return self.ranks.total(x) if self.dims else x

    def total_along(self, name: str, dim: int, x: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """The same of sums over axis `dim` of a parameter, which are whole already where another axis is cut."""
        return self.ranks.total(x) if self.dims.get(name) == dim else x

    def whole(self, name: str, shard: Shaped[Tensor, "r ..."]) -> Shaped[Tensor, "r ..."]:
        """A tensor of this parameter's shape from the shards of all ranks."""
        return self.ranks.side_by_side(shard, self.dims[name]) if name in self.dims else shard

    def own(self, name: str, whole: Shaped[Tensor, "r ..."]) -> Shaped[Tensor, "r ..."]:
        """This rank's shard of a whole tensor."""
        return whole.chunk(self.ranks.size, self.dims[name])[self.ranks.rank] if name in self.dims else whole

    def place(self, name: str, shard: Shaped[Tensor, "..."]) -> Place | None:
        """Where a member's shard (…) of this parameter's shape lies; None when it is whole."""
        if name not in self.dims:
            return None
        dim, length = self.dims[name] - 1, shard.shape[self.dims[name] - 1]
        shape = tuple(n * self.ranks.size if i == dim else n for i, n in enumerate(shard.shape))
        return Place(dim, self.ranks.rank * length, length, shape)


UNSHARDED = Sharding()
"""Every rank holds all."""


def cut_axis(shape: Sequence[int], size: int) -> int:
    """The last axis of a parameter (r, …) that `size` ranks can share evenly, but for the run axis.

    The last axis of an embedding is its tokens', so that the column of a token stays whole on one rank.
    """
    axes = [axis for axis in range(1, len(shape)) if shape[axis] % size == 0]
    assert axes, f"{tuple(shape)} over {size} ranks: refused with the configuration"
    return axes[-1]


@torch.no_grad()
def local(tensor: Tensor) -> Tensor:
    """This rank's own entries, sharing memory; a plain tensor itself."""
    return cast(DTensor, tensor.detach()).to_local() if isinstance(tensor, DTensor) else tensor


@runtime_checkable
class SavedShards(Protocol):
    """A saved state of which a rank reads no more than its own shards."""

    def piece(self, name: str, place: Place | None) -> Tensor: ...

    def close(self) -> None: ...


@torch.no_grad()
def load_in_place(tensors: Mapping[str, Tensor], places: Mapping[str, Place], saved: Mapping[str, Tensor]) -> None:
    """Copy a saved state into `tensors`, of those that are shards what lies at their places."""
    for name, tensor in tensors.items():
        place = places.get(name)
        if isinstance(saved, SavedShards):
            tensor.copy_(saved.piece(name, place))
        else:
            tensor.copy_(saved[name] if place is None else place.of(saved[name]))
    if isinstance(saved, SavedShards):
        saved.close()
