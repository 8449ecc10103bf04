"""Measures of superposition: how a matrix W with one row per feature shares its k dimensions among them.

All follow from the k × k Gram matrices WᵀW and ŴᵀŴ (Ŵ: rows of unit length), summed over blocks of rows in
float64, so that 150,000 × 8,192 fits and no n × n array exists. Feature dimensionality: Elhage et al. 2022,
"Toy Models of Superposition". A zero row is a feature without a direction: not represented, of dimensionality
0, and in no overlap.
Axis legend: `r` run, `n` feature, `k` hidden.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

_BLOCK = 4096
"""Rows worked on at once; bounds the memory of a block to 256 MiB at k = 8,192."""


@dataclass(frozen=True)
class RowStatistics:
    """What one pass over the rows of W leaves.

    Attributes:
        norms: ‖W_i‖ of each row.
        gram: WᵀW.
        unit_gram: ŴᵀŴ over the rows that are not zero.
    """

    norms: Float[Tensor, "n"]
    gram: Float[Tensor, "k k"]
    unit_gram: Float[Tensor, "k k"]


def row_statistics(rows: Float[Tensor, "n k"]) -> RowStatistics:
    """One pass over W in float64."""
    gram = rows.new_zeros(rows.shape[1], rows.shape[1], dtype=torch.float64)
    unit_gram, norms = torch.zeros_like(gram), []
    for block in _blocks(rows):
        norms.append(block.square().sum(dim=1).sqrt())
        unit = _unit_rows(block, norms[-1])
        gram += block.T @ block
        unit_gram += unit.T @ unit
    return RowStatistics(torch.cat(norms), gram, unit_gram)


def represented_fraction(statistics: RowStatistics) -> Float[Tensor, ""]:
    """Share of the features with ‖W_i‖ > ½."""
    return (statistics.norms > 0.5).double().mean()


def mean_square_overlap(statistics: RowStatistics) -> Float[Tensor, ""]:
    """Mean of cos²(W_i, W_j) over pairs i < j of rows that are not zero; NaN without a pair.

    1/k for random directions. Σ_ij cos² = ‖ŴᵀŴ‖_F², whose diagonal pairs i = j contribute 1 each.
    """
    count = (statistics.norms > 0).double().sum()
    total = (statistics.unit_gram.square().sum() - count).clamp(min=0)
    return torch.where(count > 1, total / (count * (count - 1)), torch.nan)


def feature_dimensionality(rows: Float[Tensor, "n k"], statistics: RowStatistics) -> Float[Tensor, "n"]:
    """D_i = ‖W_i‖²/Σ_j (Ŵ_i·W_j)² = ‖W_i‖²/(Ŵ_iᵀ WᵀW Ŵ_i); Σ D_i ≤ k.

    1 for a feature alone in its dimension, ½ in an antipodal pair, 0 for a zero row.
    """
    values = []
    for block, norms in zip(_blocks(rows), statistics.norms.split(_BLOCK), strict=True):
        unit = _unit_rows(block, norms)
        overlap = ((unit @ statistics.gram) * unit).sum(dim=1)
        values.append(norms.square() / torch.where(norms == 0, 1.0, overlap))
    return torch.cat(values)


def dimensions_per_feature(statistics: RowStatistics) -> Float[Tensor, ""]:
    """k/‖W‖_F²: the dimensions that each (fully) represented feature has to itself; inf when W is zero."""
    return statistics.gram.shape[0] / statistics.gram.trace()


def participation_ratio(statistics: RowStatistics) -> Float[Tensor, ""]:
    """(Σσ²)²/Σσ⁴ over the singular values of W: dimensions in use, 1 to k; NaN when W is zero."""
    return statistics.gram.trace().square() / statistics.gram.square().sum()


def superposition_measures(encoder: Float[Tensor, "r k n"]) -> dict[str, Float[Tensor, "r"]]:
    """Every measure of each member's embedding, float64, on the device of `encoder`.

    Member by member, so that a member's bits are those of a pack of one. `mean_feature_dimensionality` is
    the mean D_i.
    """
    members = [_measures(matrix.T) for matrix in encoder]
    return {name: torch.stack([member[name] for member in members]) for name in members[0]}


def _measures(rows: Float[Tensor, "n k"]) -> dict[str, Float[Tensor, ""]]:
    statistics = row_statistics(rows)
    return {
        "represented_fraction": represented_fraction(statistics),
        "mean_square_overlap": mean_square_overlap(statistics),
        "mean_feature_dimensionality": feature_dimensionality(rows, statistics).mean(),
        "dimensions_per_feature": dimensions_per_feature(statistics),
        "participation_ratio": participation_ratio(statistics),
    }


def off_diagonal_energy(
    encoder: Float[Tensor, "r k n"], core: Float[Tensor, "r k k"], decoder: Float[Tensor, "r k n"]
) -> Float[Tensor, "r"]:
    """Share Σ_{i≠j} J_ij²/Σ_ij J_ij² of the Jacobian J = W_dᵀ B W_e of a linear student; NaN when J = 0."""
    return torch.stack([_off_diagonal_energy(*member) for member in zip(encoder, core, decoder, strict=True)])


def _off_diagonal_energy(
    encoder: Float[Tensor, "k n"], core: Float[Tensor, "k k"], decoder: Float[Tensor, "k n"]
) -> Float[Tensor, ""]:
    # ‖J‖_F² = tr(W_d W_dᵀ · B W_e (B W_e)ᵀ), two k × k Gram matrices.
    decoder_gram, mapped_gram, diagonal = torch.zeros_like(core, dtype=torch.float64), 0.0, 0.0
    for encoded, decoded in zip(_blocks(encoder.T), _blocks(decoder.T), strict=True):
        mapped = encoded @ core.double().T
        decoder_gram += decoded.T @ decoded
        mapped_gram += mapped.T @ mapped
        diagonal += (decoded * mapped).sum(dim=1).square().sum()
    return 1 - diagonal / (decoder_gram * mapped_gram).sum()


def _blocks(rows: Float[Tensor, "n k"]) -> Iterator[Float[Tensor, "b k"]]:
    """Blocks of rows in float64, copied to an aligned address wherever the member lies in its pack."""
    return (block.to(torch.float64, copy=True) for block in rows.split(_BLOCK))


def _unit_rows(block: Float[Tensor, "b k"], norms: Float[Tensor, "b"]) -> Float[Tensor, "b k"]:
    return block / torch.where(norms == 0, 1.0, norms).unsqueeze(1)
