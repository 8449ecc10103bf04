"""Residuals of y = act(W_dᵀ h + c) against A x, and their gradients, in tiles of features.

No batch × N array exists beyond one tile. The residual is formed before it is squared, so that it stays accurate when
the student has learned. Axis legend: `r` run, `s` sample, `n` feature, `k` hidden, `i`, `j` feature of a tile, `m`
active cell.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from superdyn.features.batches import Cells, HeadPoints, SparseBatch
from superdyn.models import masked_residual, point_products
from superdyn.models.product import multiply

_TILE_BYTES = 64 * 2**20
"""Largest residual of one member that is held at once."""

_TILE_MULTIPLE = 256

_POINTS_FROM = 2**17
"""Cells of a dense batch from which going through its points is cheaper than passes over it; no bit depends on it."""


@dataclass(frozen=True)
class Head:
    """The last layer of stacked students.

    Attributes:
        decoder: W_d, or None for the identity (k = n).
        bias: c, or None.
        importance: A_ii of the teacher.
        rectified: act is relu, else the identity.
    """

    decoder: Float[Tensor, "r k n"] | None
    bias: Float[Tensor, "r n"] | None
    importance: Float[Tensor, "r n"]
    rectified: bool


class Tile(NamedTuple):
    """Neighbouring features of all samples.

    Attributes:
        features: which.
        residual: y − A x.
        activation: turns the residual into the gradient of W_dᵀ h + c, in place.
    """

    features: slice
    residual: Float[Tensor, "r s i"]
    activation: "Activation"


def residual_tiles(batch: SparseBatch, hidden: Float[Tensor, "r s k"], head: Head) -> Iterator[Tile]:
    """The residual, tile by tile; a tile reuses the memory of the one before."""
    runs, size, n = batch.shape
    width = _tile_width(batch, head, hidden.element_size())
    memory = hidden.new_empty(runs * size * width + 1)
    for start in range(0, n, width):
        features = slice(start, min(start + width, n))
        flat = memory[: runs * size * (features.stop - start) + 1]
        y = _output(hidden, head, features, flat[:-1].view(runs, size, -1))
        yield (
            _dense_tile(batch, head, features, y)
            if batch.cells is None
            else _sparse_tile(batch, head, features, y, flat)
        )


def _tile_width(batch: SparseBatch, head: Head, word: int) -> int:
    """Features of a tile: all where they fit, or where h or the batch already is as wide."""
    _, size, n = batch.shape
    fitting = _TILE_BYTES // (size * word)
    if head.decoder is None or batch.cells is None or fitting >= n:
        return n
    return max(_TILE_MULTIPLE, fitting // _TILE_MULTIPLE * _TILE_MULTIPLE)


def _output(hidden: Tensor, head: Head, features: slice, out: Float[Tensor, "r s i"]) -> Float[Tensor, "r s i"]:
    if head.decoder is None:
        out.copy_(hidden)
    else:
        whole = out.shape[2] == head.decoder.shape[2]
        multiply(hidden, head.decoder if whole else head.decoder[:, :, features], out=out)
    if head.bias is not None:
        out += head.bias[:, None, features]
    return out.relu_() if head.rectified else out


@dataclass(frozen=True)
class Activation:
    """Multiplies a residual by relu′(y), which without relu is 1.

    Where y = 0 a residual is left only at cells with x ≠ 0, so that a sparse tile has few places to mask.

    Attributes:
        residual: y − A x.
        block: y, for the first features of the tile, those that the batch holds densely; None without relu.
        flat: the memory of `residual` and one spare entry.
        places: in `flat`, of the cells; None without relu.
        positive: whether y > 0 there.
    """

    residual: Float[Tensor, "r s i"]
    block: Float[Tensor, "r s j"] | None = None
    flat: Float[Tensor, "..."] | None = None
    places: Int64[Tensor, "m"] | None = None
    positive: Bool[Tensor, "m"] | None = None

    def backward(self) -> Float[Tensor, "r s i"]:
        """The masked residual; overwrites `residual` where the tile is sparse."""
        if self.flat is not None and self.places is not None and self.positive is not None:
            self.flat[self.places] = self.flat[self.places] * self.positive
        if self.block is None:
            return self.residual
        width = self.block.shape[2]
        masked = torch.ops.aten.threshold_backward(self.residual[:, :, :width], self.block, 0)
        if width == self.residual.shape[2]:
            return masked
        self.residual[:, :, :width] = masked
        return self.residual


def _dense_tile(batch: SparseBatch, head: Head, features: slice, y: Float[Tensor, "r s i"]) -> Tile:
    assert batch.head is not None
    if batch.head_points is not None and y.numel() >= _POINTS_FROM:
        return _marked_tile(batch.head_points, head, features, y)
    residual = y - head.importance[:, None, :] * batch.head
    return Tile(features, residual, Activation(residual, y if head.rectified else None))


def _marked_tile(points: HeadPoints, head: Head, features: slice, y: Float[Tensor, "r s n"]) -> Tile:
    """As `_dense_tile`, with two passes over the points in the place of three over the batch."""
    flat = y.numpy().reshape(-1)
    at_places = flat[points.places]
    # NumPy lets the last of a cell count, which torch's assignment does not promise.
    flat[points.places] = at_places - head.importance.numpy().reshape(-1)[points.channels] * points.values
    if not head.rectified:
        return Tile(features, y, Activation(y))
    places, positive = torch.from_numpy(points.places), torch.from_numpy(at_places > 0)
    return Tile(features, y, Activation(y, None, y.view(-1), places, positive))


def _sparse_tile(batch: SparseBatch, head: Head, features: slice, y: Tensor, flat: Tensor) -> Tile:
    """Subtracts A x where x is not zero; cells of other tiles fall on the spare last entry of `flat`."""
    assert batch.cells is not None
    tiled = y.shape[2] < batch.shape[2]
    places, positive = _subtract_at_cells(batch.cells, head, features, tiled, y, flat)
    width = 0 if batch.head is None else min(batch.head.shape[2], features.stop) - features.start
    output = None
    if batch.head is not None and width > 0:
        block, dense = y[:, :, :width], slice(features.start, features.start + width)
        output = block.clone() if head.rectified else None
        block.sub_(head.importance[:, None, dense] * batch.head[:, :, dense])
    return Tile(features, y, Activation(y, output, flat, places, positive) if head.rectified else Activation(y))


def _subtract_at_cells(
    cells: Cells, head: Head, features: slice, tiled: bool, y: Tensor, flat: Tensor
) -> tuple[Int64[Tensor, "m"], Bool[Tensor, "m"]]:
    places = cells.rows * y.shape[2] + cells.cell_features - features.start
    if tiled:
        inside = (cells.cell_features >= features.start) & (cells.cell_features < features.stop)
        places = torch.where(inside, places, flat.numel() - 1)
    at_places = flat[places]
    flat[places] = at_places - head.importance[cells.members, cells.features][cells.picks] * cells.values
    return places, at_places > 0


@dataclass(frozen=True)
class DecoderGradients:
    """Σ_s ‖y − A x‖² and the gradients of half of it: sums over samples.

    Attributes:
        hidden: of h.
        decoder: of W_d; None where it is the identity or not asked for.
        bias: of c; None where there is none.
    """

    energy: Float[Tensor, "r"]
    hidden: Float[Tensor, "r s k"]
    decoder: Float[Tensor, "r k n"] | None
    bias: Float[Tensor, "r n"] | None


def decode_gradients(
    batch: SparseBatch, hidden: Float[Tensor, "r s k"], head: Head, *, train_decoder: bool
) -> DecoderGradients:
    """Energy and gradients of the last layer."""
    if batch.cells is None and masked_residual.serves(hidden):
        return _in_one_pass(batch, hidden, head, train_decoder=train_decoder)
    energies, d_decoder, d_bias = [], [], []
    d_hidden = None
    for features, residual, activation in residual_tiles(batch, hidden, head):
        norm = torch.linalg.vector_norm(residual.flatten(1), dim=1)
        energies.append(norm * norm)
        delta = activation.backward()
        if head.bias is not None:
            d_bias.append(delta.sum(dim=1))
        if head.decoder is None:
            d_hidden = delta
            continue
        if train_decoder:
            d_decoder.append(multiply(hidden.mT, delta))
        whole = delta.shape[2] == head.decoder.shape[2]
        part = multiply(delta, (head.decoder if whole else head.decoder[:, :, features]).mT)
        d_hidden = part if d_hidden is None else d_hidden.add_(part)
    assert d_hidden is not None
    energy = energies[0] if len(energies) == 1 else torch.stack(energies).sum(dim=0)
    return DecoderGradients(energy, d_hidden, _joined(d_decoder, dim=2), _joined(d_bias, dim=1))


def _in_one_pass(
    batch: SparseBatch, hidden: Float[Tensor, "r s k"], head: Head, *, train_decoder: bool
) -> DecoderGradients:
    """The same on a GPU, for a dense batch, of which it reads only the points where they are at hand."""
    assert batch.head is not None
    output = hidden if head.decoder is None else multiply(hidden, head.decoder)
    points = batch.points if point_products.serves(batch, hidden) else None
    x = batch.head if points is None else None
    parts = masked_residual.masked_residual(output, head.bias, head.importance, x, head.rectified)
    delta, d_bias, energy = parts[0], parts[1].sum(dim=0), parts[2].sum(dim=(0, 2))
    if points is not None:
        point_products.subtract_targets(*points.of_step(), head.importance, delta, d_bias, energy, head.rectified)
    d_hidden = delta if head.decoder is None else multiply(delta, head.decoder.mT)
    return DecoderGradients(
        energy,
        d_hidden,
        multiply(hidden.mT, delta) if train_decoder and head.decoder is not None else None,
        None if head.bias is None else d_bias,
    )


def _joined(parts: list[Tensor], dim: int) -> Tensor | None:
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim=dim)
