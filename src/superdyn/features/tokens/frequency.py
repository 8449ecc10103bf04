"""How often each token occurs, and bins of tokens by it: the features whose losses are followed.

A token's rank is its place by descending frequency, ties by id. Bins are equally wide in log rank (`frequency_bins`),
or each holds an equal part of all occurrences as nearly as whole tokens allow (`occurrence_bins`; ten: deciles). Tokens
that never occur have no loss and lie in no bin. Axis legend: `v` token of the vocabulary, `m` bin.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, Real

from superdyn.features.rank_bins import bin_edges
from superdyn.features.tokens.corpus import TokenCorpus

NO_BIN = -1


def count_tokens(corpus: TokenCorpus, limit: int | None = None) -> Int64[np.ndarray, "v"]:
    """Occurrences of every id in the first `limit` tokens, or all, in one pass over the corpus."""
    counts, left = np.zeros(corpus.vocabulary_size, dtype=np.int64), len(corpus) if limit is None else limit
    for chunk in corpus.chunks():
        counts += np.bincount(chunk[:left], minlength=corpus.vocabulary_size)
        left -= len(chunk)
        if left <= 0:
            break
    return counts


@dataclass(frozen=True)
class FrequencyBins:
    """Bins by frequency rank, the most frequent tokens first.

    Attributes:
        bin_of: (v,) the bin of each token, `NO_BIN` for those that never occur.
        edges: ranks at which the bins begin, counted from 1, and one past the last.
        types: (m,) how many tokens of the vocabulary lie in each.
        share: (m,) the part of all occurrences that falls into each; the sum is 1.
        mean_rank: (m,) geometric mean of the ranks, each token weighted with its occurrences, as the mean loss of a bin
            is; nan for a bin without tokens.
    """

    bin_of: Int64[np.ndarray, "v"]
    edges: Int64[np.ndarray, "edges"]
    types: Int64[np.ndarray, "m"]
    share: Float64[np.ndarray, "m"]
    mean_rank: Float64[np.ndarray, "m"]

    def mean(self, total: Float64[np.ndarray, "v"], occurrences: Real[np.ndarray, "v"]) -> Float64[np.ndarray, "m"]:
        """Mean per occurrence in each bin of what was summed over the occurrences of each token, such as its loss.

        nan where a bin did not occur.
        """
        present = self.bin_of != NO_BIN
        sums, counts = (
            np.bincount(self.bin_of[present], weights=x[present], minlength=len(self.types))
            for x in (total, occurrences)
        )
        return np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)


def frequency_bins(frequencies: Real[np.ndarray, "v"], bins: int = 16) -> FrequencyBins:
    """Bins equally wide in log rank, from counts of a corpus or known frequencies; there may be fewer than asked.

    Raises:
        ValueError: no bins are asked for, or no token occurs.
    """
    order = _order(frequencies, bins)
    return _with_edges(frequencies, order, bin_edges(len(order), bins))


def occurrence_bins(frequencies: Real[np.ndarray, "v"], bins: int = 10) -> FrequencyBins:
    """`bins` bins with an equal part of the occurrences each: a token lies where the middle of its own part does.

    A token that makes up more than one bin's part leaves a bin beside it empty.

    Raises:
        ValueError: no bins are asked for, or no token occurs.
    """
    order = _order(frequencies, bins)
    counts = frequencies[order].astype(np.float64)
    middle = (np.cumsum(counts) - counts / 2) / counts.sum()
    edges = np.searchsorted(middle, np.arange(bins + 1) / bins) + 1
    return _with_edges(frequencies, order, edges.astype(np.int64))


def _order(frequencies: Real[np.ndarray, "v"], bins: int) -> Int64[np.ndarray, "ranks"]:
    """The tokens that occur, by rank."""
    if bins < 1:
        raise ValueError(f"bins={bins}: must be at least 1.")
    present = int(np.count_nonzero(frequencies))
    if present == 0:
        raise ValueError("frequencies: no token occurs; at least one must.")
    return np.argsort(-frequencies.astype(np.float64), kind="stable")[:present]


def _with_edges(
    frequencies: Real[np.ndarray, "v"], order: Int64[np.ndarray, "ranks"], edges: Int64[np.ndarray, "edges"]
) -> FrequencyBins:
    types = np.diff(edges)
    label = np.repeat(np.arange(len(types)), types)
    bin_of = np.full(len(frequencies), NO_BIN, dtype=np.int64)
    bin_of[order] = label
    counts = frequencies[order].astype(np.float64)
    held = np.bincount(label, weights=counts, minlength=len(types))
    logs = np.bincount(label, weights=counts * np.log(np.arange(1, len(order) + 1)), minlength=len(types))
    mean_rank = np.exp(np.divide(logs, held, out=np.full(len(types), np.nan), where=held > 0))
    return FrequencyBins(bin_of, edges, types, held / counts.sum(), mean_rank)
