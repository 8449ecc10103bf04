"""The loss of every token of the vocabulary: cross-entropy in nats, summed over the places where it is the target.

ℓ_v = Σ_{targets = v} −log p(v | what comes before it in the window). Windows do not overlap and carry no special tokens
besides those in the files; which ones are taken is the order of `TokenWindows` with seed 0, so that `--max-tokens`
takes a sample of the whole text. Axis legend: `s` sample, `t` position, `v` token of the vocabulary.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor
from torch.nn.functional import cross_entropy

from superdyn.evaluate.memory import LOSS_BLOCK
from superdyn.features.tokens.batch import TokenBatch
from superdyn.features.tokens.corpus import TokenCorpus, TokenWindows


@dataclass(frozen=True)
class TokenLoss:
    """(v,) sums of the loss over the targets that are token v, and how many those are."""

    total: Float64[np.ndarray, "v"]
    occurrences: Int64[np.ndarray, "v"]

    @property
    def mean(self) -> float:
        """Nats per token."""
        return float(self.total.sum() / self.occurrences.sum())


class EvaluationTokens:
    """The windows that every revision is measured on.

    Args:
        context: T, positions of a window.
        batch: windows at once.
        max_tokens: targets at most; None for all.

    Raises:
        ValueError: the corpus is shorter than a window, or `max_tokens` is.
    """

    def __init__(self, corpus: TokenCorpus, context: int, batch: int, max_tokens: int | None):
        self._stream = TokenWindows(corpus, context, batch, seed=0)
        self.context, self.batch = context, batch
        if max_tokens is not None and max_tokens < context:
            raise ValueError(f"--max-tokens={max_tokens}: less than one window; must be at least --context={context}.")
        most = self._stream.n_windows if max_tokens is None else max_tokens // context
        self.n_windows = min(self._stream.n_windows, most)

    @property
    def n_targets(self) -> int:
        """Tokens whose loss is measured."""
        return self.n_windows * self.context

    def digest(self) -> str:
        """SHA-256 of the evaluated tokens, by which a resumed evaluation knows that they are the same."""
        found = hashlib.sha256()
        for inputs, targets in self.batches():
            found.update(torch.cat([inputs, targets[:, -1:]], dim=1).numpy().tobytes())
        return found.hexdigest()

    def batches(self) -> Iterator[TokenBatch]:
        """All windows, the last batch perhaps smaller."""
        for step in range(math.ceil(self.n_windows / self.batch)):
            yield self._stream.batch(step, slice(0, min(self.batch, self.n_windows - step * self.batch)))


@torch.inference_mode()
def token_loss(
    model: torch.nn.Module, tokens: EvaluationTokens, vocabulary_size: int, on_batch: Callable[[], None] = lambda: None
) -> TokenLoss:
    """Measure a causal language model of transformers, on its own device.

    Args:
        on_batch: called after each batch.

    Raises:
        ValueError: the loss is not finite.
    """
    device = next(model.parameters()).device
    total = torch.zeros(vocabulary_size, dtype=torch.float64, device=device)
    count = torch.zeros(vocabulary_size, dtype=torch.int64, device=device)
    for inputs, targets in tokens.batches():
        flat = targets.flatten().to(device)
        loss = _losses(model(input_ids=inputs.to(device), use_cache=False).logits.flatten(0, 1), flat)
        total += torch.bincount(flat, weights=loss.double(), minlength=vocabulary_size)
        count += torch.bincount(flat, minlength=vocabulary_size)
        on_batch()
    if not torch.isfinite(total).all():
        raise ValueError("its loss is not finite")
    return TokenLoss(total.cpu().numpy(), count.cpu().numpy())


def _losses(logits: Float[Tensor, "st v"], targets: Int64[Tensor, "st"]) -> Float[Tensor, "st"]:
    """Cross-entropy of each position in float32, a block of positions at a time."""
    rows = max(1, LOSS_BLOCK // logits.shape[1])
    parts = zip(logits.split(rows), targets.split(rows), strict=True)
    return torch.cat([cross_entropy(part.float(), target, reduction="none") for part, target in parts])
