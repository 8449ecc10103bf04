"""Batches of tokens for a pack, drawn step by step when they are trained: synthetic languages, or windows of files.

A synthetic language is drawn on the device that trains; files are read by the host. Sample j of step t is a function of
(seed, t, j), so it is the same alone, packed, resumed or split over ranks.
Axis legend: `r` run, `s` sample, `t` position, `v` token of the vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.generator import Stream
from superdyn.features.token_source import evaluation_corpus, language, training_corpus
from superdyn.features.tokens.batch import TokenBatch, TokenStream
from superdyn.features.tokens.corpus import TokenWindows
from superdyn.features.tokens.synthetic import SyntheticTokens


@dataclass(frozen=True)
class TokenBatches:
    """The data of neighbouring steps, from `start` on, on a device."""

    draws: "TokenDraws"
    start: int
    device: torch.device

    def step(self, i: int) -> TokenBatch:
        """(r, s, T): the batch of step `start + i`."""
        return self.draws.batch(self.start + i, self.device)

    def to(self, device: torch.device) -> "TokenBatches":
        """The same data elsewhere."""
        return replace(self, device=device)


class TokenDraws:
    """Draws the batches of the members of a pack; sees only the samples of its rank."""

    def __init__(self, configs: Sequence[RunConfig], samples: slice):
        self.configs, self.samples = tuple(configs), samples
        self.streams = [token_stream(config) for config in configs]
        self._seeds = [config.seed for config in configs]
        self._one_law = len({config.data.data_exponent for config in configs}) == 1

    def batches(self, start: int, stop: int) -> TokenBatches:
        """The data of the steps start … stop − 1."""
        return TokenBatches(self, start, torch.device("cpu"))

    def batch(self, step: int, device: torch.device) -> TokenBatch:
        """(r, s, T) inputs and targets of one step."""
        for stream in self.streams:
            if isinstance(stream, SyntheticTokens) and isinstance(stream.law, nn.Module):
                stream.law.to(device)
        first = self.streams[0]
        if isinstance(first, SyntheticTokens) and self._one_law:
            return first.pack(self._seeds, step, self.samples)
        batches = [stream.batch(step, self.samples) for stream in self.streams]
        inputs, targets = (_moved(torch.stack(parts), device) for parts in zip(*batches, strict=True))
        return TokenBatch(inputs, targets)


def _moved(tokens: Tensor, device: torch.device) -> Tensor:
    """On the device; to a GPU from pinned memory, so that the host does not wait for the steps before."""
    if device.type == "cuda" and not tokens.is_cuda:
        return tokens.pin_memory().to(device, non_blocking=True)
    return tokens.to(device)


def token_stream(config: RunConfig) -> TokenStream:
    """The training batches of one run.

    Raises:
        ValueError: there is no such file, or the data do not fit the configuration.
    """
    data, seed = config.data, config.seed
    assert data.tokens is not None, "checked with the configuration"
    if data.tokens.source == "files":
        corpus, n_tokens = training_corpus(data)
        return TokenWindows(corpus, data.length, data.batch_size, seed, n_tokens)
    law = language(data)
    if data.length % law.unit:
        raise ValueError(
            f"data.length={data.length}: sentences of data.tokens.depth={data.tokens.depth} have {law.unit} tokens; a "
            f"multiple of {law.unit} is allowed."
        )
    return SyntheticTokens(law, data.length, data.batch_size, seed, compiled=config.trainer.compile)


def evaluation_tokens(config: RunConfig) -> TokenBatch:
    """(s, T): the fixed evaluation set of one run, ⌊`eval_tokens`/T⌋ sequences that training never shows.

    A synthetic language: the run's own draws of the evaluation stream. Files: the first tokens of `eval_files`, or the
    last ones of `files`, in order.

    Raises:
        ValueError: as `token_stream`.
    """
    data = config.data
    assert data.tokens is not None, "checked with the configuration"
    size = data.tokens.eval_tokens // data.length
    if data.tokens.source != "files":
        return SyntheticTokens(language(data), data.length, size, config.seed, Stream.EVAL).batch(0)
    corpus, first = evaluation_corpus(data)
    tokens = torch.from_numpy(corpus.read(first, size * data.length + 1))
    inputs, targets = (part.reshape(size, data.length) for part in (tokens[:-1], tokens[1:]))
    return TokenBatch(inputs, targets)
