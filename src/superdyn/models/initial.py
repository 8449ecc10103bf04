"""Initial values of the student family, drawn for each member from its own seed.

Embeddings W (K×N): `identity`; `orthogonal`, orthonormal rows from the QR factors of a Gaussian matrix with the signs
that make it Haar-distributed; `gaussian`, independent Gaussian columns scaled to unit norm, whose overlaps have
E[cos²] = 1/K. Core B (K×K): Gaussian entries of standard deviation s/√K, s = `core_init_scale`, so that its
largest singular value is about 2s; s = 0 gives B(0) = 0. Axis legend: `r` run, `n` feature, `k` hidden.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.config import RunConfig
from superdyn.features.generator import normals


def initial_embedding(configs: Sequence[RunConfig], tag: str) -> Float[Tensor, "r k n"]:
    """Embeddings of all members in float64; `tag` separates the draws of encoder and decoder."""
    return torch.from_numpy(np.stack([_embedding(config, tag) for config in configs]))


def initial_core(configs: Sequence[RunConfig]) -> Float[Tensor, "r k k"]:
    """Hidden matrices of all members in float64."""
    return torch.from_numpy(np.stack([_core(config) for config in configs]))


def _embedding(config: RunConfig, tag: str) -> Float[np.ndarray, "k n"]:
    width, n_features = config.model.width, config.data.n_features
    if config.model.encoder_init == "identity":
        return np.eye(width)
    gaussian = normals(config.seed, (width, n_features), tag)
    if config.model.encoder_init == "gaussian":
        return gaussian / np.linalg.norm(gaussian, axis=0, keepdims=True)
    wide = width <= n_features
    q, r = np.linalg.qr(gaussian.T if wide else gaussian)
    haar = q * np.sign(np.diag(r))
    return np.ascontiguousarray(haar.T) if wide else haar


def _core(config: RunConfig) -> Float[np.ndarray, "k k"]:
    width, scale = config.model.width, config.model.core_init_scale
    return normals(config.seed, (width, width), "core") * (scale / np.sqrt(width))
