"""Measures of superposition: how a matrix W with one row per feature shares its k dimensions among them.

All follow from the k × k Gram matrices WᵀW and ŴᵀŴ (Ŵ: rows of unit length), summed over blocks of rows in
float64, so that 150,000 × 8,192 fits and no n × n array exists. Feature dimensionality: Elhage et al. 2022,
"Toy Models of Superposition". A zero row is a feature without a direction: not represented, of
dimensionality 0, and in no overlap. A member's bits are those of a pack of one.
Axis legend: `r` run, `n` feature, `k` hidden, `b` feature inside a block.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.models.product import product
from superdyn.models.total import member_sum

_BLOCK = 4096
"""Rows worked on at once; bounds the memory of a block to 256 MiB per member at k = 8,192."""


@dataclass(frozen=True)
class RowStatistics:
    """What one pass over the rows of W leaves, in float64.

    Attributes:
        norms: ‖W_i‖ of each row.
        gram: WᵀW.
        unit_gram: ŴᵀŴ over the rows that are not zero.
    """

    norms: Float[Tensor, "r n"]
    gram: Float[Tensor, "r k k"]
    unit_gram: Float[Tensor, "r k k"]


def row_statistics(rows: Float[Tensor, "r n k"]) -> RowStatistics:
    """One pass over W."""
    gram = rows.new_zeros(rows.shape[0], rows.shape[2], rows.shape[2], dtype=torch.float64)
    unit_gram, norms = torch.zeros_like(gram), []
    for block in _blocks(rows):
        norms.append(block.square().sum(dim=2).sqrt())
        unit = _unit_rows(block, norms[-1])
        gram += product(block.mT, block)
        unit_gram += product(unit.mT, unit)
    return RowStatistics(torch.cat(norms, dim=1), gram, unit_gram)


def represented_fraction(statistics: RowStatistics) -> Float[Tensor, "r"]:
    """Share of the features with ‖W_i‖ > ½."""
    return (statistics.norms > 0.5).double().mean(dim=1)


def mean_square_overlap(statistics: RowStatistics) -> Float[Tensor, "r"]:
    """Mean of cos²(W_i, W_j) over pairs i < j of rows that are not zero; NaN without a pair.

    1/k for random directions. Σ_ij cos² = ‖ŴᵀŴ‖_F², whose diagonal pairs i = j contribute 1 each.
    """
    count = (statistics.norms > 0).double().sum(dim=1)
    total = (_energy(statistics.unit_gram) - count).clamp(min=0)
    return torch.where(count > 1, total / (count * (count - 1)), torch.nan)


def feature_dimensionality(rows: Float[Tensor, "r n k"], statistics: RowStatistics) -> Float[Tensor, "r n"]:
    """D_i = ‖W_i‖²/Σ_j (Ŵ_i·W_j)² = ‖W_i‖²/(Ŵ_iᵀ WᵀW Ŵ_i); Σ D_i ≤ k.

    1 for a feature alone in its dimension, ½ in an antipodal pair, 0 for a zero row.
    """
    values = []
    for block, norms in zip(_blocks(rows), statistics.norms.split(_BLOCK, dim=1), strict=True):
        unit = _unit_rows(block, norms)
        overlap = (product(unit, statistics.gram) * unit).sum(dim=2)
        values.append(norms.square() / torch.where(norms == 0, 1.0, overlap))
    return torch.cat(values, dim=1)


def dimensions_per_feature(statistics: RowStatistics) -> Float[Tensor, "r"]:
    """k/‖W‖_F²: the dimensions that each (fully) represented feature has to itself; inf when W is zero."""
    return statistics.gram.shape[1] / member_sum(statistics.norms.square())


def participation_ratio(statistics: RowStatistics) -> Float[Tensor, "r"]:
    """(Σσ²)²/Σσ⁴ over the singular values of W: dimensions in use, 1 to k; NaN when W is zero."""
    return member_sum(statistics.norms.square()).square() / _energy(statistics.gram)


def superposition_measures(encoder: Float[Tensor, "r k n"]) -> dict[str, Float[Tensor, "r"]]:
    """Every measure of each member's embedding, float64, on the device of `encoder`.

    `mean_feature_dimensionality` is the mean D_i.
    """
    rows = encoder.mT
    statistics = row_statistics(rows)
    return {
        "represented_fraction": represented_fraction(statistics),
        "mean_square_overlap": mean_square_overlap(statistics),
        "mean_feature_dimensionality": member_sum(feature_dimensionality(rows, statistics)) / rows.shape[1],
        "dimensions_per_feature": dimensions_per_feature(statistics),
        "participation_ratio": participation_ratio(statistics),
    }


def off_diagonal_energy(
    encoder: Float[Tensor, "r k n"] | None, core: Float[Tensor, "r k k"] | None, decoder: Float[Tensor, "r k n"] | None
) -> Float[Tensor, "r"]:
    """Share Σ_{i≠j} J_ij²/Σ_ij J_ij² of the Jacobian J = W_dᵀ B W_e before any activation; NaN when J = 0.

    What is None is the identity: the core, or both embeddings, and then J = B.
    ‖J‖_F² = tr(W_d W_dᵀ · B W_e (B W_e)ᵀ), two k × k Gram matrices.
    """
    if encoder is None or decoder is None:
        assert core is not None, "an identity student has nothing to train"
        jacobian = core.double()
        return 1 - member_sum(jacobian.diagonal(dim1=1, dim2=2).square()) / _energy(jacobian)
    decoder_gram = encoder.new_zeros(len(encoder), decoder.shape[1], decoder.shape[1], dtype=torch.float64)
    mapped_gram, diagonal = torch.zeros_like(decoder_gram), []
    for rows, others in zip(encoder.mT.split(_BLOCK, dim=1), decoder.mT.split(_BLOCK, dim=1), strict=True):
        encoded = rows.double()
        decoded = encoded if decoder is encoder else others.double()
        mapped = encoded if core is None else product(encoded, core.double().mT)
        decoder_gram += product(decoded.mT, decoded)
        mapped_gram += product(mapped.mT, mapped)
        diagonal.append((decoded * mapped).sum(dim=2))
    total = member_sum((decoder_gram * mapped_gram).flatten(1))
    return 1 - member_sum(torch.cat(diagonal, dim=1).square()) / total


def _blocks(rows: Float[Tensor, "r n k"]) -> Iterator[Float[Tensor, "r b k"]]:
    return (block.double() for block in rows.split(_BLOCK, dim=1))


def _unit_rows(block: Float[Tensor, "r b k"], norms: Float[Tensor, "r b"]) -> Float[Tensor, "r b k"]:
    return block / torch.where(norms == 0, 1.0, norms).unsqueeze(2)


def _energy(matrices: Float[Tensor, "r k k"]) -> Float[Tensor, "r"]:
    """‖·‖_F² of each member's matrix."""
    return member_sum(matrices.square().flatten(1))
