"""Data parallelism: what the ranks of one run tell each other.

Each of W ranks draws 1/W of the global batch, and its loss and gradient are means over that slice, so that
    L = (1/W) Σ_w L_w,  g = (1/W) Σ_w g_w
are those of the global batch. Gradients are not autograd's, so torch's wrapper has nothing to hook into: the engine
reduces one flat buffer a step, gradients and losses together; where parameters are sharded (`sharding.py`) torch has
reduced the gradients. Without a process group every method is the identity; a group of one takes the way of many.
Axis legend: `r` run.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from jaxtyping import Shaped
from torch import Tensor

from superdyn.models.gradients import Gradients

Value = TypeVar("Value")


class RankLost(SystemExit):
    """Another rank is gone, and this process ends too; its runs can be resumed."""


@dataclass(frozen=True)
class Ranks:
    """The processes that train one run together, seen from one of them."""

    rank: int
    size: int

    @classmethod
    def current(cls) -> "Ranks":
        """Those of this process's group; a process without one is alone."""
        alone = cls(0, 1)
        return alone if alone.is_alone else cls(dist.get_rank(), dist.get_world_size())

    @property
    def is_first(self) -> bool:
        """Whether this process decides, reads and writes for all."""
        return self.rank == 0

    @property
    def is_alone(self) -> bool:
        """Whether this process is in no group, so that there is nobody to exchange with."""
        return not (dist.is_available() and dist.is_initialized())

    @torch.no_grad()
    def mean(self, found: Gradients, *, sharded: bool = False) -> Gradients:
        """Loss and gradients of the global batch; a loss that is not finite anywhere is so everywhere.

        `sharded`: the gradients are those of the global batch already.
        """
        if self.is_alone:
            return found
        if sharded:
            return Gradients(self.total(found.loss.div(self.size)), found.by_name)
        dtype = next(iter(found.by_name.values())).dtype
        parts = [found.loss.to(dtype), *found.by_name.values()]
        # Divided first, so that a sum of finite losses stays finite.
        flat = torch.cat([part.reshape(-1) for part in parts]).div_(self.size)
        with _together():
            dist.all_reduce(flat)
        loss, *gradients = (
            piece.view(part.shape)
            for piece, part in zip(flat.split([part.numel() for part in parts]), parts, strict=True)
        )
        return Gradients(loss, dict(zip(found.by_name, gradients, strict=True)))

    def total(self, tensor: Shaped[Tensor, "..."]) -> Shaped[Tensor, "..."]:
        """The sum over the ranks, in place."""
        if not self.is_alone:
            with _together():
                dist.all_reduce(tensor)
        return tensor

    @torch.no_grad()
    def side_by_side(self, part: Shaped[Tensor, "..."], dim: int) -> Shaped[Tensor, "..."]:
        """The equal parts of all ranks along axis `dim`, in the order of the ranks."""
        if self.is_alone:
            return part
        part = part.contiguous()
        parts = [torch.empty_like(part) for _ in range(self.size)]
        with _together():
            dist.all_gather(parts, part)
        return torch.cat(parts, dim)

    def largest(self, numbers: Sequence[int]) -> list[int]:
        """The largest of each number over the ranks."""
        if self.is_alone:
            return list(numbers)
        flags = torch.tensor(numbers)
        with _together():
            dist.all_reduce(flags, op=dist.ReduceOp.MAX)
        return flags.tolist()

    def from_first(self, value: Value) -> Value:
        """What the first rank has; any object that can be pickled."""
        if self.is_alone:
            return value
        box = [value]
        with _together():
            dist.broadcast_object_list(box, src=0)
        return box[0]

    def from_all(self, value: Value) -> list[Value]:
        """What each rank has, in the order of the ranks."""
        if self.is_alone:
            return [value]
        values = [value] * self.size
        with _together():
            dist.all_gather_object(values, value)
        return values

    @torch.no_grad()
    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Overwrite every tensor by the first rank's: machines may differ in the last bit of a logarithm."""
        if self.is_alone:
            return
        for tensor in tensors:
            whole = tensor.contiguous()
            with _together():
                dist.broadcast(whole, src=0)
            tensor.copy_(whole)


@contextmanager
def lost_ranks() -> Iterator[None]:
    """Around code in which torch itself meets the other ranks: tells the end of one of them from other errors."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error, dist.DistError) or "gloo" in str(error):
            raise _lost(error) from error
        raise


@contextmanager
def _together() -> Iterator[None]:
    """Around a collective operation, which the backends end with a RuntimeError when another process is gone."""
    try:
        yield
    except RuntimeError as error:
        raise _lost(error) from error


def brief(error: RuntimeError) -> str:
    """What a backend says of a connection or a device on one line, without its source file and advice."""
    text = str(error)
    by_gloo = text.rpartition("/gloo/")[2].partition("] ")[2].partition(". This is")[0]
    return " ".join((by_gloo or text.rpartition("Last error:")[2]).split())


def _lost(error: RuntimeError) -> RankLost:
    return RankLost(
        f"superdyn: another rank of this run has ended or is out of reach ({brief(error)}); the same command goes on "
        f"from the last checkpoint."
    )
