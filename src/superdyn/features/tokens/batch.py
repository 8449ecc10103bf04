"""What a language model trains on: the tokens of every position and the token that follows each.

Axis legend: `r` run, `s` sample, `t` position.
"""

from typing import NamedTuple, Protocol, runtime_checkable

from jaxtyping import Int64
from torch import Tensor


class TokenBatch(NamedTuple):
    """(s, T) token ids and their successors; of a pack (r, s, T)."""

    inputs: Int64[Tensor, "*r s t"]
    targets: Int64[Tensor, "*r s t"]


@runtime_checkable
class TokenStream(Protocol):
    """A source of batches in which sample j of step t is a function of (seed, t, j) alone."""

    vocabulary_size: int
    context: int
    batch_size: int

    def batch(self, step: int, samples: slice | None = None) -> TokenBatch:
        """The samples of one step, or a slice of them."""
        ...


def as_batch(tokens: Int64[Tensor, "*r s window"]) -> TokenBatch:
    """Windows of T + 1 tokens as T inputs and T targets."""
    return TokenBatch(tokens[..., :-1].contiguous(), tokens[..., 1:].contiguous())


def check_size(context: int, batch_size: int) -> None:
    """Raises ValueError unless both are positive."""
    for name, value in {"context": context, "batch_size": batch_size}.items():
        if value < 1:
            raise ValueError(f"{name}={value}: must be at least 1.")
