"""Plain slow versions that the fast code is compared with: one member, one loop, the formula as written.

Optimizers take and return lists of one member's tensors; superposition measures build the full n × n table of
overlaps.
"""

import math

import numpy as np
import torch
from torch import Tensor

from superdyn.features.moments import Moments

# --- Data ---


def second_moment_matrix(moments: Moments) -> np.ndarray:
    """Σ = E x xᵀ = diag(var) + μ μᵀ."""
    return np.diag(moments.variance) + np.outer(moments.mean, moments.mean)


# --- Optimizers ---


def normalized_step(
    parameters: list[Tensor],
    gradients: list[Tensor],
    momenta: list[Tensor],
    lr: float,
    weight_decay: float,
    *,
    momentum: float = 0.0,
    nesterov: bool = False,
) -> None:
    """θ ← θ(1 − η w) − η d/‖d‖, d = m ← μ m + g or g + μ m, norm over all tensors; `momenta` change too."""
    for m, gradient in zip(momenta, gradients, strict=True):
        m.copy_(momentum * m + gradient)
    directions = [g + momentum * m if nesterov else m for g, m in zip(gradients, momenta, strict=True)]
    norm = math.sqrt(sum(x**2 for direction in directions for x in direction.flatten().tolist()))
    for parameter, direction in zip(parameters, directions, strict=True):
        parameter.copy_(parameter * (1 - lr * weight_decay) - lr * direction / norm)


def newton_schulz(matrix: Tensor) -> Tensor:
    """Five quintic steps X ← aX + bXXᵀX + cXXᵀXXᵀX from X/‖X‖_F, wide way round (Jordan et al. 2024)."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    x = x / max(float(x.norm()), 1e-7)
    for _ in range(5):
        x = a * x + b * x @ x.T @ x + c * x @ x.T @ x @ x.T @ x
    return x.T if matrix.shape[0] > matrix.shape[1] else x


def muon_step(
    matrix: Tensor,
    gradient: Tensor,
    momentum: Tensor,
    lr: float,
    mu: float,
    weight_decay: float,
    *,
    nesterov: bool,
) -> None:
    """One step of torch.optim.Muon, without its bfloat16; `momentum` is updated in place too."""
    momentum.copy_(mu * momentum + (1 - mu) * gradient)
    direction = (1 - mu) * gradient + mu * momentum if nesterov else momentum
    scale = math.sqrt(max(1, matrix.shape[0] / matrix.shape[1]))
    matrix.copy_(matrix * (1 - lr * weight_decay) - lr * scale * newton_schulz(direction))


def grow_rows(embedding: Tensor, rate: float) -> Tensor:
    """W_i + rate (1/‖W_i‖ − 1) W_i, feature by feature; `embedding` is (k, n)."""
    grown = embedding.clone()
    for i in range(embedding.shape[1]):
        norm = float(embedding[:, i].norm())
        if norm > 0:
            grown[:, i] += rate * (1 / norm - 1) * embedding[:, i]
    return grown


# --- Measures of superposition ---


def superposition(rows: Tensor) -> dict[str, float]:
    """Every measure of science.md section 6 from the definitions; `rows` is (n, k), without zero rows."""
    norms = rows.norm(dim=1)
    unit = rows / norms[:, None]
    cosines = unit @ unit.T
    n, k = rows.shape
    pairs = [float(cosines[i, j] ** 2) for i in range(n) for j in range(i)]
    sigma = torch.linalg.svdvals(rows)
    return {
        "represented_fraction": sum(float(norm) > 0.5 for norm in norms) / n,
        "mean_square_overlap": sum(pairs) / len(pairs),
        "mean_feature_dimensionality": float((norms**2 / ((unit @ rows.T) ** 2).sum(dim=1)).mean()),
        "dimensions_per_feature": k / float((norms**2).sum()),
        "participation_ratio": float((sigma**2).sum() ** 2 / (sigma**4).sum()),
    }
