"""Losses of a student against the diagonal teacher y* = A x, per feature.

Sampled: ℓ_i = ½ Σ_s w_s (y_si − A_ii x_si)² / Σ_s 1. Population (exact, for y = M x + c): with R = M − A, mean μ and
variance v of the independent features, ℓ_i = ½ [Σ_j R_ij² v_j + (Σ_j R_ij μ_j + c_i)²], the residual form of
½ tr(R Σ Rᵀ); expanding the square instead would cancel catastrophically in float32 once L/L(0) < 1e-4.
Axis legend: `r` run, `s` sample, `n` feature.
"""

from jaxtyping import Float
from torch import Tensor


def sampled_loss(
    output: Float[Tensor, "r s n"], x: Float[Tensor, "r s n"], importance: Float[Tensor, "r n"]
) -> Float[Tensor, "r"]:
    """L = ½ mean_s ‖y_s − A x_s‖² of each member, differentiable; the batch mean is taken over `s`."""
    residual = output - importance[:, None, :] * x
    return residual.square().sum(dim=(1, 2)) * (0.5 / x.shape[1])


def population_feature_loss(
    linear_map: Float[Tensor, "r n n"],
    offset: Float[Tensor, "r n"] | None,
    teacher: Float[Tensor, "r n n"],
    mean: Float[Tensor, "r n"] | None,
    variance: Float[Tensor, "r n"],
) -> Float[Tensor, "r n"]:
    """Exact ℓ_i of each member, differentiable; Σ_i ℓ_i is the population risk.

    `teacher` is A, `mean` (None: zero) and `variance` are those of the features.
    """
    residual = linear_map - teacher
    doubled = (residual * residual * variance[:, None, :]).sum(dim=2)
    shift = offset
    if mean is not None:
        drift = (residual * mean[:, None, :]).sum(dim=2)
        shift = drift if offset is None else drift + offset
    return 0.5 * (doubled if shift is None else doubled + shift.square())
