"""The random hierarchy model with Zipf rules: sentences of a random tree grammar with a known entropy.

A root symbol is drawn from Zipf frequencies and rewritten L times: every symbol becomes a tuple of B symbols of the
level below, by one of its m rules, rule r with probability ∝ r^-a; the last level are the tokens (Cagnetta et al. 2024;
power-law rules: Cagnetta, Kang, Wyart 2025). The tuples of a level are all different, so a sentence of B^L tokens
has one tree only, and its entropy is that of the root plus that of a rule at each of the (B^L − 1)/(B − 1) rewritings.
Axis legend: `v` token, `y` symbol, `m` rule, `k` child, `s` sample, `t` position.
"""

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor, nn

from superdyn.features.tokens.permutation import permuted
from superdyn.features.tokens.zipf import borders, entropy, invert, zipf_frequencies


class HierarchicalTokens(nn.Module):
    """A `TokenLaw`; buffers move with `.to(device)`.

    Args:
        symbols: number of symbols of every level above the tokens.
        rules: m, rules per symbol.
        exponent: a, of the rules and of the root; token frequencies follow from the grammar.
        depth: L.
        branching: B.
        language: seed of the grammar; not of the draws.

    Raises:
        ValueError: a value that is not allowed, or more tuples than the level below has.
    """

    root_cuts: Float64[Tensor, "_"]
    rule_cuts: Float64[Tensor, "_"]

    def __init__(
        self,
        vocabulary_size: int,
        symbols: int,
        rules: int,
        exponent: float,
        depth: int = 2,
        branching: int = 2,
        language: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (("depth", depth, 1), ("branching", branching, 2), ("rules", rules, 1)):
            if value < least:
                raise ValueError(f"{name}={value}: must be at least {least}.")
        self.vocabulary_size, self.depth, self.branching = vocabulary_size, depth, branching
        self.root, self.rule = zipf_frequencies(symbols, exponent), zipf_frequencies(rules, exponent)
        self.register_buffer("root_cuts", torch.from_numpy(borders(self.root)))
        self.register_buffer("rule_cuts", torch.from_numpy(borders(self.rule)))
        below = [symbols] * (depth - 1) + [vocabulary_size]
        grammar = [_tuples(symbols, rules, n, branching, language, level) for level, n in enumerate(below)]
        for level, table in enumerate(grammar):
            self.register_buffer(f"table_{level}", torch.from_numpy(table))
        self.frequencies = self._frequencies()

    @property
    def tables(self) -> list[Int64[Tensor, "y m k"]]:
        """The rules of each level: the children of a symbol by a rule."""
        return [self.get_buffer(f"table_{level}") for level in range(self.depth)]

    @property
    def unit(self) -> int:
        """Tokens of a sentence."""
        return self.branching**self.depth

    @property
    def rewritings(self) -> int:
        """Rules applied in a sentence."""
        return (self.unit - 1) // (self.branching - 1)

    def cross_entropy(self) -> float:
        """The least mean loss, in nats, of a next-token prediction that knows where sentences begin.

        It is the entropy of a sentence per token, exactly so for a context of whole sentences.
        """
        return (entropy(self.root) + self.rewritings * entropy(self.rule)) / self.unit

    def words(self, length: int) -> int:
        """Uniform numbers that `length` tokens take: those of the sentences that hold them."""
        return -(-length // self.unit) * (1 + self.rewritings)

    def tokens(self, u: Float64[Tensor, "*s words"]) -> Int64[Tensor, "*s t"]:
        """Whole sentences from uniform numbers."""
        u = u.unflatten(-1, (-1, 1 + self.rewritings))
        symbols, used = invert(self.root_cuts, u[..., :1]), 1
        for table in self.tables:
            nodes = symbols.shape[-1]
            rule = invert(self.rule_cuts, u[..., used : used + nodes])
            symbols, used = table[symbols, rule].flatten(-2), used + nodes
        return symbols.flatten(-2)

    def next_log_probabilities(
        self, inputs: Int64[Tensor, "s t"], targets: Int64[Tensor, "s t"]
    ) -> Float64[Tensor, "s"]:
        """Σ_t ln P(y_t | x_1 … x_t) of windows of whole sentences and the token after them.

        The sum over a sentence is the logarithm of its probability; the first token of a window is no target, the one
        after it is.

        Raises:
            ValueError: the windows are not of whole sentences of this language.
        """
        if inputs.shape[1] % self.unit:
            raise ValueError(f"inputs have {inputs.shape[1]} tokens; allowed are multiples of {self.unit}, a sentence.")
        total, nodes = torch.zeros(len(inputs), dtype=torch.float64), inputs
        rule, root = (torch.from_numpy(np.log(p)) for p in (self.rule, self.root))
        powers = max(self.vocabulary_size, len(self.root)) ** torch.arange(self.branching)
        for table in reversed(self.tables):
            pairs = table.flatten(0, 1)  # all different: a sentence has one tree
            known, order = (pairs * powers).sum(-1).sort()
            wanted = (nodes.unflatten(-1, (-1, self.branching)) * powers).sum(-1)
            place = torch.searchsorted(known, wanted).clamp(max=len(known) - 1)
            if not torch.equal(known[place], wanted):
                raise ValueError("inputs hold what is no sentence of this language; its own draws are allowed.")
            nodes, applied = order[place] // table.shape[1], order[place] % table.shape[1]
            total += rule[applied].sum(-1)
        total += root[nodes].sum(-1)
        first = torch.from_numpy(self._first_frequencies())
        return total - first[inputs[:, 0]].log() + first[targets[:, -1]].log()

    def _first_frequencies(self) -> Float64[np.ndarray, "v"]:
        """How often each token begins a sentence."""
        p = self.root
        for level, table in enumerate(self.tables):
            size = self.vocabulary_size if level == self.depth - 1 else len(self.root)
            weights = p[:, None] * self.rule
            p = np.bincount(table[..., 0].numpy().ravel(), weights=weights.ravel(), minlength=size)
        return p

    def _frequencies(self) -> Float64[np.ndarray, "v"]:
        """How often each token occurs, over all places of a sentence."""
        p = self.root
        for level, table in enumerate(self.tables):
            size = self.vocabulary_size if level == self.depth - 1 else len(self.root)
            weights = np.broadcast_to((p[:, None] * self.rule)[..., None] / self.branching, table.shape)
            p = np.bincount(table.numpy().ravel(), weights=weights.ravel(), minlength=size)
        return p


def _tuples(
    symbols: int, rules: int, below: int, branching: int, language: int, level: int
) -> Int64[np.ndarray, "y m k"]:
    """Different tuples of symbols of the level below, drawn at random without replacement."""
    possible = below**branching
    if symbols * rules > possible:
        raise ValueError(
            f"rules={rules}: {symbols} symbols need {symbols * rules} different tuples, and the {below} symbols below "
            f"allow {possible} of length {branching}."
        )
    number = permuted(np.arange(symbols * rules), possible, language, level)
    digits = [number // below**k % below for k in range(branching)]
    return np.stack(digits, axis=-1).reshape(symbols, rules, branching)
