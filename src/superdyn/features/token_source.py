"""Where a run's tokens come from: its language, or its shards and the part of them that is held out.

Shards are opened, and all their ids checked, once a process. Axis legend: `v` token of the vocabulary.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Int64, Real

from superdyn.config import DataConfig
from superdyn.features.tokens.bigram import BigramTokens
from superdyn.features.tokens.corpus import TokenCorpus
from superdyn.features.tokens.frequency import count_tokens, frequency_bins
from superdyn.features.tokens.held_out import check_held_out
from superdyn.features.tokens.hierarchy import HierarchicalTokens
from superdyn.features.tokens.zipf import ZipfTokens

Language = ZipfTokens | BigramTokens | HierarchicalTokens

COUNTED_TOKENS = 100_000_000
"""Training tokens whose frequencies make the bins, from the first one on."""


def language(data: DataConfig) -> Language:
    """The synthetic language that a configuration names; what follows what is the same for every seed.

    Raises:
        ValueError: a value that it does not allow.
    """
    tokens, vocabulary, exponent = data.tokens, data.n_features, data.data_exponent
    assert tokens is not None, "checked with the configuration"
    if tokens.source == "bigram":
        return BigramTokens(vocabulary, exponent, tokens.strength)
    if tokens.source == "hierarchy":
        return HierarchicalTokens(vocabulary, vocabulary, tokens.rules, exponent, tokens.depth)
    return ZipfTokens(vocabulary, exponent)


def training_corpus(data: DataConfig) -> tuple[TokenCorpus, int]:
    """The shards, and how many of their first tokens are for training.

    Raises:
        ValueError: there is no such file, it is not whole, has an id that is no word, is too short, or is for
            evaluation.
    """
    assert data.tokens is not None, "checked with the configuration"
    corpus = _opened("files", data.tokens.files, data.n_features)
    check_held_out(data.tokens.files, data.tokens.eval_files)
    if data.tokens.eval_files:
        if len(corpus) <= data.length:
            raise ValueError(
                f"data.length={data.length}: data.tokens.files hold {len(corpus)} tokens, which allow 1 to "
                f"{len(corpus) - 1}."
            )
        return corpus, len(corpus)
    kept = len(corpus) - _evaluated(data)
    if kept <= data.length:
        raise ValueError(
            f"data.tokens.eval_tokens={data.tokens.eval_tokens}: held out of {len(corpus)} tokens, it leaves no "
            f"sequence of data.length={data.length}; use less, or data.tokens.eval_files."
        )
    return corpus, kept


def evaluation_corpus(data: DataConfig) -> tuple[TokenCorpus, int]:
    """The shards that hold the evaluation set, and where in them it begins.

    Raises:
        ValueError: as `training_corpus`, or `eval_files` are too short.
    """
    assert data.tokens is not None, "checked with the configuration"
    if not data.tokens.eval_files:
        return training_corpus(data)
    corpus = _opened("eval_files", data.tokens.eval_files, data.n_features)
    if len(corpus) < _evaluated(data):
        raise ValueError(
            f"data.tokens.eval_tokens={data.tokens.eval_tokens}: data.tokens.eval_files hold {len(corpus)} tokens; at "
            f"most {len(corpus) - 1} are allowed."
        )
    return corpus, 0


def bin_of_token(data: DataConfig) -> Int64[np.ndarray, "v"]:
    """The frequency bin of every token, 0 the most frequent.

    A token's rank is its place by descending frequency, ties by id: the language's exact frequencies, or counts over
    the first `COUNTED_TOKENS` training tokens. The ranks 1 … V are cut as `rank_bins.bin_edges` says; tokens
    that never occur have the last ranks.
    """
    assert data.tokens is not None, "checked with the configuration"
    counted = _counted(data) if data.tokens.source == "files" else language(data).frequencies
    found = counted.astype(np.float64)
    return frequency_bins(np.where(found > 0, found, 1e-6 * found[found > 0].min()), data.tokens.bins).bin_of


def _counted(data: DataConfig) -> Real[np.ndarray, "v"]:
    corpus, n_tokens = training_corpus(data)
    return count_tokens(corpus, min(n_tokens, COUNTED_TOKENS))


def _evaluated(data: DataConfig) -> int:
    """Tokens of the evaluation set: whole sequences, and the target of the last position."""
    assert data.tokens is not None
    return data.tokens.eval_tokens // data.length * data.length + 1


@lru_cache(maxsize=8)
def _opened(key: str, files: tuple[str, ...], vocabulary: int) -> TokenCorpus:
    try:
        return TokenCorpus(files, vocabulary)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"data.tokens.{key} with data.n_features={vocabulary}: {error}") from error
