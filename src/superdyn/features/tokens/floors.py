"""The least possible loss of next-token prediction, exactly: of a language, or of given tokens of it.

P(·|x) = (1 − λ) q + λ K(·|x) is the law of the token after x. All losses of `models/decoder/losses.py` are least where
the prediction is P: −ln P(y|x) for cross-entropy, ½‖P − e‖² = ½(1 − 2 P(y|x) + Σ_w P(w|x)²) for squared errors of
probabilities and of logits alike, whose mean is ½(1 − E Σ_w P(w|x)²). The tokens of a grammar depend on all before them
in their sentence; of these the cross-entropy is known. On a finite evaluation set the least loss of its own tokens is
what to subtract: the difference is the excess, and the luck of the draw, common to both, is gone.
Axis legend: `v` token, `s` sample, `t` position.
"""

from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from superdyn.features.tokens.batch import TokenBatch
from superdyn.features.tokens.bigram import BigramTokens, Successors
from superdyn.features.tokens.hierarchy import HierarchicalTokens
from superdyn.features.tokens.zipf import ZipfTokens

Loss = Literal["cross_entropy", "probability_error", "logit_error"]


class NextTokenLaw:
    """P(·|x) of a language in which the next token depends on the last one only.

    Raises:
        ValueError: it depends on more than that.
    """

    def __init__(self, language: object) -> None:
        if not isinstance(language, BigramTokens | ZipfTokens):
            raise ValueError(
                f"language={type(language).__name__}: its next token depends on more than the last one; allowed are "
                f"BigramTokens and ZipfTokens."
            )
        self._q: Float64[np.ndarray, "v"] = language.frequencies
        self._share = language.strength if isinstance(language, BigramTokens) else 0.0
        self._entropy = language.cross_entropy()
        self._k = language.successors() if isinstance(language, BigramTokens) else _NOTHING

    def probability(self, x: Int64[np.ndarray, "*t"], y: Int64[np.ndarray, "*t"]) -> Float64[np.ndarray, "*t"]:
        """P(y|x)."""
        background = (1 - self._share) * self._q[y]
        if not len(self._k.token):
            return background
        size = len(self._q)
        known, wanted = self._k.token * size + self._k.successor, x * size + y  # `known` is in order
        place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        return background + self._share * np.where(known[place] == wanted, self._k.probability[place], 0.0)

    def square_sum(self) -> Float64[np.ndarray, "v"]:
        """Σ_w P(w|v)² for each v."""
        token, successor, k = self._k
        behind = (1 - self._share) * self._q[successor]
        change = (behind + self._share * k) ** 2 - behind**2
        return (1 - self._share) ** 2 * np.sum(self._q**2) + np.bincount(token, change, minlength=len(self._q))

    def least_loss(self, loss: Loss) -> float:
        """The mean over the language."""
        if loss == "cross_entropy":
            return self._entropy
        return 0.5 * float(1 - self._q @ self.square_sum())

    def token_losses_of(self, batch: TokenBatch, loss: Loss) -> Float64[np.ndarray, "s t"]:
        """What the prediction P loses at each target."""
        x, y = batch.inputs.numpy(), batch.targets.numpy()
        p = self.probability(x, y)
        return -np.log(p) if loss == "cross_entropy" else 0.5 * (1 - 2 * p + self.square_sum()[x])

    def least_losses_of(self, batch: TokenBatch, loss: Loss) -> Float64[np.ndarray, "s"]:
        """The mean over the targets of each sequence."""
        x, y = batch.inputs.numpy(), batch.targets.numpy()
        p = self.probability(x, y)
        if loss == "cross_entropy":
            return -np.log(p).mean(axis=1)
        return 0.5 * (1 - 2 * p.mean(axis=1) + self.square_sum()[x].mean(axis=1))


def least_mean_loss(language: object, loss: Loss) -> float | None:
    """The least mean loss over a language; None for squared errors where more than the last token counts."""
    if isinstance(language, BigramTokens | ZipfTokens):
        return NextTokenLaw(language).least_loss(loss)
    return language.cross_entropy() if loss == "cross_entropy" else None  # pyright: ignore[reportAttributeAccessIssue]


def least_mean_losses(language: object, batch: TokenBatch, loss: Loss) -> Float64[np.ndarray, "s"] | None:
    """The least mean loss of each sequence of these tokens; None where `least_mean_loss` is."""
    if isinstance(language, HierarchicalTokens):
        if loss != "cross_entropy":
            return None
        return -language.next_log_probabilities(batch.inputs, batch.targets).numpy() / batch.targets.shape[1]
    return NextTokenLaw(language).least_losses_of(batch, loss)


def best_token_losses(language: object, batch: TokenBatch, loss: Loss) -> Float64[np.ndarray, "s t"] | None:
    """What the best prediction loses at each of these targets; None where more than the last token counts.

    Its sum over all tokens is the least there is. Over some of them, such as those of a frequency bin, it is not: who
    predicts these tokens too often loses less at them, and more at the others.
    """
    if not isinstance(language, BigramTokens | ZipfTokens):
        return None
    return NextTokenLaw(language).token_losses_of(batch, loss)


_NOTHING = Successors(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
