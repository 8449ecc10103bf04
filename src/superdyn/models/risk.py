"""Losses of a student against the diagonal teacher y* = A x, per feature.

Sampled: ℓ_i = ½ mean_s (y_si − A_ii x_si)². Population (exact, for y = M x + c): with R = M − A, mean μ and variance v
of the independent features, ℓ_i = ½ [Σ_j R_ij² v_j + (Σ_j R_ij μ_j + c_i)²], the residual form of ½ tr(R Σ Rᵀ);
expanding the square instead would cancel catastrophically in float32 once L/L(0) < 1e-4.
Axis legend: `r` run, `s` sample, `n` feature, `i` some of the features.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Population:
    """What the exact risk needs to know of every member's data and teacher.

    Attributes:
        importance: A_ii.
        mean: μ, or None where it is zero.
        variance: v.
    """

    importance: Float[Tensor, "r n"]
    mean: Float[Tensor, "r n"] | None
    variance: Float[Tensor, "r n"]


def sampled_loss(
    output: Float[Tensor, "r s n"], x: Float[Tensor, "r s n"], importance: Float[Tensor, "r n"]
) -> Float[Tensor, "r"]:
    """L = ½ mean_s ‖y_s − A x_s‖² of each member, differentiable; the batch mean is taken over `s`."""
    residual = output - importance[:, None, :] * x
    return residual.square().sum(dim=(1, 2)) * (0.5 / x.shape[1])


def population_feature_loss(
    linear_map: Float[Tensor, "r i n"], offset: Float[Tensor, "r i"] | None, population: Population, first: int = 0
) -> Float[Tensor, "r i"]:
    """Exact ℓ_i of the features first, first + 1, … from their rows of M, differentiable.

    Over all features Σ_i ℓ_i is the population risk.
    """
    height = linear_map.shape[1]
    rows = torch.arange(height, device=linear_map.device)
    teacher = torch.zeros_like(linear_map)
    teacher[:, rows, rows + first] = population.importance[:, first : first + height]
    residual = linear_map - teacher
    doubled = (residual * residual * population.variance[:, None, :]).sum(dim=2)
    shift = offset
    if population.mean is not None:
        drift = (residual * population.mean[:, None, :]).sum(dim=2)
        shift = drift if offset is None else drift + offset
    return 0.5 * (doubled if shift is None else doubled + shift.square())
