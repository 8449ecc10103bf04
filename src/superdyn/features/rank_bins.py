"""The spectrum in a few numbers: mean loss per feature in bins of frequency rank, equally wide in log rank.

A W&B log call slows down with its number of keys, so the live view gets these bins and the full vectors
stay in `spectrum.parquet`. Features are ordered by frequency, rank 1 the most common. Axis legend: `n`
feature, `m` bin.
"""

import numpy as np
from jaxtyping import Float, Int

from superdyn.config import DataConfig


def bin_edges(n_features: int, bins: int) -> Int[np.ndarray, "edges"]:
    """Ranks at which the bins begin, and N + 1: bin j holds the ranks edges[j] … edges[j+1] − 1.

    Low ranks are too few for narrow bins; bins without a rank of their own are left out, so there may be
    fewer.
    """
    return np.unique(np.round(np.geomspace(1, n_features + 1, bins + 1)).astype(np.int64))


def spectrum_edges(data: DataConfig, bins: int) -> Int[np.ndarray, "edges"]:
    """Edges, counted from 1, of at most `bins` bins of a run's spectrum; each column is one where it has bins of tokens
    already."""
    if data.tokens is None or data.kind != "tokens":
        return bin_edges(data.n_features, bins)
    return np.arange(1, len(bin_edges(data.n_features, data.tokens.bins)) + 1)


def binned_mean(feature_loss: Float[np.ndarray, "n"], edges: Int[np.ndarray, "edges"]) -> Float[np.ndarray, "m"]:
    """Mean of ℓ_i over the features of each bin, float64."""
    return np.add.reduceat(feature_loss.astype(np.float64), edges[:-1] - 1) / np.diff(edges)
