"""A bigram language with exactly Zipf frequencies and a known entropy.

With probability 1 − λ the next token is drawn from the Zipf frequencies q; with probability λ it depends on the last
token v. Give each token an interval I_v of [0, 1) of length q_v, draw x uniform in I_v, exchange G equal pieces of
[0, 1) by a fixed random permutation, and take the token in whose interval x lands (interval exchange; Keane 1975). That
keeps x uniform, so q is stationary whatever λ and G are. A frequent token has many successors, a rare one a few, and
they are spread as words drawn by frequency are. P(w|v) = (1 − λ) q_w + λ K(w|v), where K has at most 2V + G
entries that are not 0, so the entropy is an exact sum.
Axis legend: `v` token, `g` piece, `e` entry of K, `s` sample, `t` position.
"""

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from superdyn.features.tokens.permutation import permuted
from superdyn.features.tokens.zipf import borders, entropy, invert, zipf_frequencies


class Successors(NamedTuple):
    """K as a list: token v is followed by w with probability p."""

    token: Int64[np.ndarray, "e"]
    successor: Int64[np.ndarray, "e"]
    probability: Float64[np.ndarray, "e"]


class BigramTokens(nn.Module):
    """A `TokenLaw`; buffers move with `.to(device)`.

    Args:
        exponent: a, of the frequencies.
        strength: λ in [0, 1]; 0 is the law of `ZipfTokens`.
        pieces: G; V when None. More pieces give frequent tokens more successors.
        language: seed of the permutation, so of what follows what; not of the draws.

    Raises:
        ValueError: a value that is not allowed.
    """

    cuts: Float64[Tensor, "inner"]
    starts: Float64[Tensor, "v"]
    widths: Float64[Tensor, "v"]
    jumps: Float64[Tensor, "g"]
    unit = 1

    def __init__(
        self, vocabulary_size: int, exponent: float, strength: float, pieces: int | None = None, language: int = 0
    ) -> None:
        super().__init__()
        if not 0 <= strength <= 1:
            raise ValueError(f"strength={strength}: must be in [0, 1].")
        pieces = vocabulary_size if pieces is None else pieces
        if pieces < 1:
            raise ValueError(f"pieces={pieces}: must be at least 1.")
        self.vocabulary_size, self.strength, self.pieces = vocabulary_size, strength, pieces
        self.frequencies = zipf_frequencies(vocabulary_size, exponent)
        cuts, place = borders(self.frequencies), np.arange(pieces)
        self.register_buffer("cuts", torch.from_numpy(cuts))
        self.register_buffer("starts", torch.from_numpy(np.concatenate(([0.0], cuts))))
        self.register_buffer("widths", torch.from_numpy(np.diff(cuts, prepend=0.0, append=1.0)))
        self.register_buffer("jumps", torch.from_numpy((permuted(place, pieces, language, 0) - place) / pieces))

    def words(self, length: int) -> int:
        """Uniform numbers that `length` tokens take."""
        return length

    def tokens(self, u: Float64[Tensor, "*s t"]) -> Int64[Tensor, "*s t"]:
        """Tokens from uniform numbers; the first of a row has the stationary law."""
        follows, share = u < self.strength, self.strength
        # Products with reciprocals: a GPU divides by a number in this way, and bits must not depend on the device.
        within = u * (1 / share) if share > 0 else u
        fresh = invert(self.cuts, (u - share) * (1 / (1 - share))) if share < 1 else torch.zeros_like(u).long()
        token = invert(self.cuts, u[..., 0])
        found = [token]
        for t in range(1, u.shape[-1]):
            token = torch.where(follows[..., t], self._successor(token, within[..., t]), fresh[..., t])
            found.append(token)
        return torch.stack(found, dim=-1)

    def _successor(self, token: Int64[Tensor, "*s"], within: Float64[Tensor, "*s"]) -> Int64[Tensor, "*s"]:
        """Draw from K(·|token)."""
        x = self.starts[token] + self.widths[token] * within
        return invert(self.cuts, x + self.jumps[(x * self.pieces).long().clamp(max=self.pieces - 1)])

    def successors(self) -> Successors:
        """K, exactly: [0, 1) is cut wherever the token, the piece or the successor changes."""
        cuts, jumps = self.cuts.cpu().numpy(), self.jumps.cpu().numpy()
        landed = np.argsort(np.arange(self.pieces) + np.rint(jumps * self.pieces))
        back = cuts - jumps[landed[np.minimum((cuts * self.pieces).astype(np.int64), self.pieces - 1)]]
        edges = np.unique(np.concatenate((np.arange(self.pieces + 1) / self.pieces, cuts, back)))
        middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
        piece = np.minimum((middle * self.pieces).astype(np.int64), self.pieces - 1)
        token = np.searchsorted(cuts, middle, side="right")
        successor = np.searchsorted(cuts, middle + jumps[piece], side="right")
        pair, where = np.unique(token * self.vocabulary_size + successor, return_inverse=True)
        token, successor = np.divmod(pair, self.vocabulary_size)
        return Successors(token, successor, np.bincount(where, weights=width) / self.frequencies[token])

    def conditional_entropies(self) -> Float64[np.ndarray, "v"]:
        """Entropy of the next token after each token, in nats."""
        q, k, share = self.frequencies, self.successors(), self.strength
        background = (1 - share) * q
        without = background[k.successor]
        change = _xlogx(without) - _xlogx(without + share * k.probability)
        return entropy(background) + np.bincount(k.token, weights=change, minlength=len(q))

    def cross_entropy(self) -> float:
        """The least mean loss of a next-token prediction, in nats: the mean conditional entropy."""
        return float(self.frequencies @ self.conditional_entropies())


def _xlogx(x: Float64[np.ndarray, "e"]) -> Float64[np.ndarray, "e"]:
    return x * np.log(x, out=np.zeros_like(x), where=x > 0)
