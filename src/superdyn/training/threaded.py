"""A pack whose members are shared out between threads, each of which draws and trains its own from chunk to chunk.

Members are independent and their bits do not depend on the pack, so a share is an engine of fewer members. Threads that
share out every operation instead wait for each other at each, and for far longer once the cores have other work.
Axis legend: `r` run, `n` feature.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cached_property
from itertools import pairwise
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.batching import head_size
from superdyn.features.datamodule import Chunk, Draws
from superdyn.features.device_draws import trains_on_gpu
from superdyn.models.dense_chain import DenseChain
from superdyn.models.protocol import student_class
from superdyn.models.student import Student
from superdyn.training.data_parallel import Ranks
from superdyn.training.engine import Engine
from superdyn.training.sharding import Place
from superdyn.training.threads import LARGE_PACK, largest_product

_MEMBERS_PER_THREAD = 2
"""At least, so that no thread waits for long for one that has a member more."""

Result = TypeVar("Result")


def has_shares(configs: Sequence[RunConfig]) -> bool:
    """Whether to share a pack out: a large one whose dense batches train in NumPy (`models/dense_chain.py`)."""
    first, n_threads = configs[0], torch.get_num_threads()
    data, trainer = first.data, first.trainer
    enough = len(configs) >= _MEMBERS_PER_THREAD * n_threads and len(configs) * largest_product(first) > LARGE_PACK
    if n_threads == 1 or not enough or Ranks.current().size > 1 or trains_on_gpu(trainer):
        return False
    if student_class(first.model.target) is not Student or first.loss != "sampled":
        return False
    dense = head_size(data) == data.n_features and trainer.matmul == "float32"
    return dense and DenseChain.serves(Student(configs[:1]).weights(), (1, data.samples_per_step, data.n_features))


class ThreadedEngine(nn.Module):
    """As many engines of neighbouring members as torch has threads, with the methods of one."""

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__()
        self._n_threads = torch.get_num_threads()
        bounds = np.linspace(0, len(configs), self._n_threads + 1).round().astype(int).tolist()
        self._members = [slice(*pair) for pair in pairwise(bounds)]
        self.shares = nn.ModuleList(Engine(configs[members]) for members in self._members)
        self.ranks, self.sharding = self._engines[0].ranks, self._engines[0].sharding

    @property
    def _engines(self) -> list[Engine]:
        return [share for share in self.shares if isinstance(share, Engine)]

    @property
    def student(self) -> nn.Module:
        """That of the first share."""
        return self._engines[0].student

    @property
    def diverged_at(self) -> Int[Tensor, "r"]:
        """As `Engine.diverged_at`."""
        return torch.cat([engine.diverged_at for engine in self._engines])

    def prepare(self) -> None:
        """As `Engine.prepare`."""
        for engine in self._engines:
            engine.prepare()

    def agree(self) -> None:
        """Nothing: there are no other ranks."""

    def train_chunk(self, chunk: Chunk) -> None:
        """Draw and train a chunk."""
        draws = chunk.draws
        assert draws is None or isinstance(draws, Draws)

        def train(engine: Engine, members: slice) -> None:
            engine.train_chunk(chunk._replace(draws=None if draws is None else draws.of(members)))

        self._together(train)

    def measure(self, step: int) -> tuple[Float[Tensor, "r n"], dict[str, Float[Tensor, "r ..."]]]:
        """As `Engine.measure`."""
        losses, measures = zip(*self._together(lambda engine, _: engine.measure(step)), strict=True)
        return torch.cat(losses), {name: torch.cat([found[name] for found in measures]) for name in measures[0]}

    def member_state(self, r: int) -> dict[str, Tensor]:
        """As `Engine.member_state`."""
        engine, own = self._holder(r)
        return engine.member_state(own)

    def load(self, r: int, state: Mapping[str, Tensor]) -> None:
        """As `Engine.load`."""
        engine, own = self._holder(r)
        engine.load(own, state)

    def places(self) -> dict[str, Place]:
        """Nothing: no parameter is sharded."""
        return {}

    def _holder(self, r: int) -> tuple[Engine, int]:
        """The engine that has member `r`, and its place there."""
        share = next(i for i, members in enumerate(self._members) if r < members.stop)
        return self._engines[share], r - self._members[share].start

    def _together(self, act: Callable[[Engine, slice], Result]) -> list[Result]:
        """What `act` gives for each share; returns or raises when all are done, so that no share is half-way on."""
        futures = [self._pool.submit(act, *share) for share in zip(self._engines, self._members, strict=True)]
        try:
            wait(futures)
        finally:
            wait(futures)
        return [future.result() for future in futures]

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._n_threads, "share", initializer=torch.set_num_threads, initargs=(1,))
