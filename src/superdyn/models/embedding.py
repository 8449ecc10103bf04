"""Initial embeddings and hidden matrices of the student family, drawn for one run from its own seed.

Embeddings W (K×N): `identity`; `orthogonal`, orthonormal rows from the QR factors of a Gaussian matrix with the signs
that make it Haar-distributed; `gaussian`, independent Gaussian columns scaled to unit norm, whose overlaps have
E[cos²] = 1/K. Core B (K×K): Gaussian entries of standard deviation s/√K, s = `core_init_scale`, so that its
largest singular value is about 2s; s = 0 gives B(0) = 0. Imports no torch. Axis legend: `n` feature, `k` hidden.
"""

import numpy as np
from jaxtyping import Float64

from superdyn.features.generator import normals


def initial_embedding(seed: int, kind: str, width: int, n_features: int, tag: str) -> Float64[np.ndarray, "k n"]:
    """W at step 0; `kind` is `model.encoder_init`, `tag` (encoder, decoder) separates the draws."""
    if kind == "identity":
        return np.eye(width)
    gaussian = normals(seed, (width, n_features), tag)
    if kind == "gaussian":
        return gaussian / np.linalg.norm(gaussian, axis=0, keepdims=True)
    wide = width <= n_features
    q, r = np.linalg.qr(gaussian.T if wide else gaussian)
    haar = q * np.sign(np.diag(r))
    return np.ascontiguousarray(haar.T) if wide else haar


def initial_core(seed: int, width: int, scale: float) -> Float64[np.ndarray, "k k"]:
    """B at step 0; `scale` is `model.core_init_scale`."""
    return normals(seed, (width, width), "core") * (scale / np.sqrt(width))
