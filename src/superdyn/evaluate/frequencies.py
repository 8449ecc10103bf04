"""How frequent each token is: counted on the evaluated files, or read from a file.

The file is a NumPy array of V counts (`.npy`) or a CSV with the columns `id` and `count`; ids that it does not list
never occur. Axis legend: `v` token of the vocabulary.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64

from superdyn.config.validation import one_sentence
from superdyn.features.tokens.corpus import TokenCorpus
from superdyn.features.tokens.frequency import count_tokens


def token_frequencies(file: Path | None, corpus: TokenCorpus) -> Float64[np.ndarray, "v"]:
    """Counts of every id.

    Raises:
        ValueError: the file cannot be read, or is not one of this vocabulary.
    """
    if file is None:
        return count_tokens(corpus).astype(np.float64)
    size = corpus.vocabulary_size
    if not file.is_file():
        raise ValueError(f"--frequencies={file}: no such file; a .npy array of {size} counts or a CSV is needed.")
    try:
        counts = np.load(file, allow_pickle=False) if file.suffix == ".npy" else _from_csv(file, size)
        counts = np.asarray(counts, dtype=np.float64)
    except (ValueError, KeyError, EOFError) as error:
        raise ValueError(
            f"--frequencies={file}: cannot be read ({one_sentence(error)}); a .npy array of {size} counts, or a CSV "
            f"with the columns id and count, is needed."
        ) from None
    if counts.shape != (size,):
        raise ValueError(f"--frequencies={file}: has shape {counts.shape}; {size} counts of 0 or more are needed.")
    if not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(f"--frequencies={file}: holds numbers that are not counts; {size} of 0 or more are needed.")
    return counts


def _from_csv(file: Path, size: int) -> Float64[np.ndarray, "v"]:
    frame = pd.read_csv(file)
    ids = frame["id"].to_numpy(np.int64)
    if len(ids) and not 0 <= ids.min() <= ids.max() < size:
        raise ValueError(f"ids {ids.min()} to {ids.max()} in a vocabulary of {size}")
    return np.bincount(ids, weights=frame["count"].to_numpy(np.float64), minlength=size)
