"""Batches of synthetic tokens, made on the device without a word from the host: a `TokenStream`.

Sample j of step t owns the blocks of Philox words of the number t·S + j in the sequence of (seed, stream), so it is the
same alone, in a pack, after a resume and on any rank, and on the CPU and on a GPU. What follows what is the language's
own seed: runs of different seeds read different texts of one language. Axis legend: `r` run, `s` sample, `t` position,
`w` word.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from superdyn.features.generator import BLOCK_WORDS, Stream, key_words, uniforms
from superdyn.features.philox import philox_uniforms, signed
from superdyn.features.tokens.batch import TokenBatch, as_batch, check_size

TAG = "tokens"


@runtime_checkable
class TokenLaw(Protocol):
    """A synthetic language; an `nn.Module`, whose buffers say on which device it draws.

    Attributes:
        vocabulary_size: V.
        frequencies: (v,) float64, exact share of each token.
        unit: tokens that must stay together; a context is a multiple of it.
    """

    vocabulary_size: int

    @property
    def frequencies(self) -> Float64[np.ndarray, "v"]: ...

    @property
    def unit(self) -> int: ...

    def cross_entropy(self) -> float:
        """The least mean loss of a next-token prediction, in nats."""
        ...

    def words(self, length: int) -> int:
        """Uniform numbers that `length` tokens take."""
        ...

    def tokens(self, u: Float64[Tensor, "*s w"]) -> Int64[Tensor, "*s t"]:
        """At least `length` tokens from `words(length)` numbers."""
        ...

    def buffers(self) -> Iterator[Tensor]: ...


def device_uniforms(
    seeds: Int64[Tensor, "r"],
    stream: Stream,
    units: Int64[Tensor, "s"],
    words: int,
    tag: str = TAG,
    *,
    compiled: bool = False,
) -> Float64[Tensor, "r s w"]:
    """The numbers of `generator.uniforms` for these units of every seed, bit for bit, on the device of `units`.

    Seeds are the int64 of the same 64 bits. `compiled`: the generator is one kernel instead of some hundred operations.
    """
    blocks = -(-words // BLOCK_WORDS)
    counter = (units[:, None] * blocks + torch.arange(blocks, device=units.device)).expand(len(seeds), -1, -1)
    low = seeds.to(units.device)[:, None, None].expand_as(counter)
    high = torch.full_like(counter, signed(key_words(0, stream, tag)[1]))
    philox = _compiled_philox() if compiled else philox_uniforms
    return philox(counter, low, high).flatten(2)[..., :words]


@cache
def _compiled_philox() -> Callable[..., Tensor]:
    return torch.compile(philox_uniforms, dynamic=False)


class SyntheticTokens:
    """The batches of a language.

    Args:
        context: T, positions of a sample.
        batch_size: S, samples of the global batch.
        seed: of the draws; 0 ≤ seed < 2^64.
        stream: training and evaluation draws never overlap.
        compiled: as in `device_uniforms`, on a GPU.

    Raises:
        ValueError: a size that is not positive, or a context that cuts sentences.
    """

    def __init__(
        self,
        law: TokenLaw,
        context: int,
        batch_size: int,
        seed: int,
        stream: Stream = Stream.TRAIN,
        *,
        compiled: bool = False,
    ) -> None:
        check_size(context, batch_size)
        if context % law.unit:
            raise ValueError(f"context={context}: sentences have {law.unit} tokens; a multiple of that is allowed.")
        self.law, self.context, self.batch_size, self.seed, self.stream = law, context, batch_size, seed, stream
        self.vocabulary_size = law.vocabulary_size
        self._compiled = compiled
        self._keys: dict[tuple[int, ...], Tensor] = {}

    def batch(self, step: int, samples: slice | None = None) -> TokenBatch:
        """(s, T) inputs and targets of the samples of one step, all of them or the slice of a rank."""
        batch = self.pack([self.seed], step, samples)
        return TokenBatch(batch.inputs[0], batch.targets[0])

    @torch.no_grad()
    def pack(self, seeds: Sequence[int], step: int, samples: slice | None = None) -> TokenBatch:
        """(r, s, T): what members with these seeds draw by themselves, drawn at once."""
        device = next(self.law.buffers()).device
        chosen = range(self.batch_size)[samples or slice(None)]
        length = self.context + 1
        first = step * self.batch_size + chosen.start
        u = self._uniforms(tuple(seeds), first, len(chosen), self.law.words(length), device)
        return as_batch(self.law.tokens(u)[..., :length])

    def _uniforms(
        self, seeds: tuple[int, ...], first: int, count: int, words: int, device: torch.device
    ) -> Float64[Tensor, "r s w"]:
        """The numbers of the units first … first + count − 1; on the CPU from NumPy's generator, which is quicker."""
        if device.type == "cpu":
            return torch.from_numpy(np.stack([uniforms(seed, self.stream, first, count, words, TAG) for seed in seeds]))
        if seeds not in self._keys:  # made once: a copy from the host would wait for the steps before
            self._keys[seeds] = torch.tensor([signed(seed) for seed in seeds], device=device)
        units = first + torch.arange(count, device=device)
        return device_uniforms(self._keys[seeds], self.stream, units, words, compiled=self._compiled)
