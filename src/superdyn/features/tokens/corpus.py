"""Shards as one sequence of tokens, and training windows drawn from it in a reproducible order.

Window w holds the tokens wT … wT + T, so a token is a target once an epoch (the first one, and those that do not fill a
last window, are not). Sample j of step t has the number g = t·S + j: epoch ⌊g/W⌋, and within it
window π(g mod W), where π is the order of (seed, epoch). Nothing is remembered between steps, so a run resumes at the
exact sample and each rank reads its slice of the one global batch.
Axis legend: `n` token, `s` sample, `t` position.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, Integer

from superdyn.features.tokens.batch import TokenBatch, as_batch, check_size
from superdyn.features.tokens.permutation import permuted
from superdyn.features.tokens.shards import open_shards
from superdyn.features.tokens.token_file import CHUNK_TOKENS, check_ids
from superdyn.features.tokens.token_sequence import TokenSequence


class TokenCorpus(TokenSequence):
    """The tokens of all shards, one after the other, in a vocabulary.

    Args:
        source: see `shard_paths`.
        vocabulary_size: V; every id is checked to lie below it, once, here.
        check: leave the ids unchecked where another process has checked them.

    Raises:
        FileNotFoundError: no shard.
        ValueError: a shard of another format or vocabulary, or one that was cut short.
    """

    def __init__(self, source: str | Path | Sequence[str | Path], vocabulary_size: int, check: bool = True) -> None:
        self.vocabulary_size = vocabulary_size
        super().__init__(open_shards(source, vocabulary_size))
        for file in self.shards if check else ():
            check_ids(file, vocabulary_size)

    def chunks(self) -> Iterator[Integer[np.ndarray, "n"]]:
        """All tokens in order, in parts that fit in memory."""
        for file in self.shards:
            for start in range(0, len(file.tokens), CHUNK_TOKENS):
                yield file.tokens[start : start + CHUNK_TOKENS]


class TokenWindows:
    """The training batches of a corpus: a `TokenStream`.

    Args:
        context: T, positions of a sample.
        batch_size: S, samples of the global batch.
        seed: of the order; 0 ≤ seed < 2^64.
        n_tokens: only the first so many tokens of the corpus are shown; all when None.

    Raises:
        ValueError: the corpus is shorter than one window, or a size is not positive.
    """

    def __init__(
        self, corpus: TokenCorpus, context: int, batch_size: int, seed: int, n_tokens: int | None = None
    ) -> None:
        check_size(context, batch_size)
        n_tokens = len(corpus) if n_tokens is None else n_tokens
        if context >= n_tokens:
            raise ValueError(
                f"context={context}: longer than the corpus, whose {n_tokens} tokens allow 1 to {n_tokens - 1}."
            )
        self.corpus, self.context, self.batch_size, self.seed = corpus, context, batch_size, seed
        self.vocabulary_size = corpus.vocabulary_size
        self.n_windows = (n_tokens - 1) // context

    def windows(self, step: int, samples: slice | None = None) -> Int64[np.ndarray, "s"]:
        """Which window each sample of the step shows."""
        j = np.arange(self.batch_size)[samples or slice(None)]
        epoch, place = np.divmod(step * self.batch_size + j, self.n_windows)
        found = np.empty_like(place)
        for each in np.unique(epoch):
            now = epoch == each
            found[now] = permuted(place[now], self.n_windows, self.seed, int(each))
        return found

    def batch(self, step: int, samples: slice | None = None) -> TokenBatch:
        """(s, T) inputs and targets of the samples of one step, all of them or the slice of a rank."""
        windows = self.windows(step, samples)
        tokens = np.stack([self.corpus.read(int(w) * self.context, self.context + 1) for w in windows])
        return as_batch(torch.from_numpy(tokens))
