"""Gradients of the student family on a dense batch on the CPU, written out in NumPy over arrays that are kept.

The equations are those of `chain.py` and `decoding.py`. NumPy's calls cost a fraction of torch's, its products are the
faster ones (`openblas.py`), and no step asks for memory. Only multiplication, addition and comparison element by
element besides the products, so that a member's bits are those of a pack of one.
Axis legend: `r` run, `s` sample, `n` feature, `k` hidden, `p` entries of all gradients of one member.
"""

from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.features.batches import HeadPoints, SparseBatch
from superdyn.models.gradients import Gradients
from superdyn.models.gram import is_cheaper
from superdyn.models.openblas import is_faster
from superdyn.models.product import rounds
from superdyn.models.weights import Weights


class SideBySide(dict[str, Tensor]):
    """Gradients by name that share the memory of one matrix, in which they lie in this order.

    Attributes:
        flat: that matrix.
    """

    def __init__(self, flat: Float[Tensor, "r p"], shapes: Mapping[str, torch.Size]):
        self.flat = flat
        pieces = flat.split([shape.numel() for shape in shapes.values()], dim=1)
        super().__init__(
            {name: piece.unflatten(1, shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}
        )


class DenseChain:
    """Memory for one student's gradients on batches of one shape.

    Attributes:
        shape: (R, S, N) of a batch.
    """

    def __init__(self, weights: Weights, shape: tuple[int, int, int]):
        assert weights.encoder is not None
        self.shape = shape
        runs, size, n = shape
        width, dtype = weights.encoder.shape[1], weights.encoder.dtype
        shapes = {name: getattr(weights, name).shape[1:] for name in weights.trained}
        flat = torch.empty(runs, sum(s.numel() for s in shapes.values()), dtype=dtype)
        self._gradients = SideBySide(flat, shapes)
        self._found = {name: gradient.numpy() for name, gradient in self._gradients.items()}
        self._encoded, self._hidden = (torch.empty(runs, size, width, dtype=dtype).numpy() for _ in range(2))
        self._output = torch.empty(runs, size, n, dtype=dtype).numpy()
        self._through_encoder = torch.empty(runs, width, n, dtype=dtype).numpy()

    @staticmethod
    def serves(weights: Weights, shape: tuple[int, int, int]) -> bool:
        """Whether it does batches of this shape, whose points must be at hand, faster than torch."""
        encoder = weights.encoder
        if encoder is None or rounds(encoder.dtype) or is_cheaper(weights, shape):
            return False
        return is_faster(shape[1] * encoder.shape[1] * max(encoder.shape[1:]), encoder)

    @np.errstate(over="ignore", invalid="ignore")
    def gradients(self, weights: Weights, batch: SparseBatch, importance: Float[Tensor, "r n"]) -> Gradients:
        """L = ½ mean_s ‖y_s − A x_s‖² of each member and its gradients, written over by the next call."""
        assert batch.head is not None
        assert batch.head_points is not None
        x, scale = batch.head.numpy(), 1.0 / self.shape[1]
        encoder, decoder, core, bias = _arrays(weights)
        encoded = np.matmul(x, encoder.mT, out=self._encoded)
        hidden = encoded if core is None else np.matmul(encoded, core.mT, out=self._hidden)
        output = np.matmul(hidden, decoder, out=self._output)
        if bias is not None:
            output += bias[:, None, :]
        energy = _to_masked_residual(output, batch.head_points, importance.numpy(), rectified=weights.rectified)
        if bias is not None:
            np.sum(output, axis=1, out=self._found["bias"])
        self._backward(weights, x, encoded, hidden)
        self._gradients.flat.mul_(scale)
        return Gradients(torch.from_numpy(energy * energy.dtype.type(0.5 * scale)), self._gradients)

    def _backward(
        self,
        weights: Weights,
        x: Float[np.ndarray, "r s n"],
        encoded: Float[np.ndarray, "r s k"],
        hidden: Float[np.ndarray, "r s k"],
    ) -> None:
        """Gradients of the products, from the masked residual; overwrites `encoded` and `hidden`."""
        delta, (_, decoder, core, _) = self._output, _arrays(weights)
        trains, tied = weights.trains_embedding, weights.decoder is None
        if trains:
            np.matmul(hidden.mT, delta, out=self._found["encoder" if tied else "decoder"])
        inner = np.matmul(delta, decoder.mT, out=hidden)
        if core is not None:
            np.matmul(inner.mT, encoded, out=self._found["core"])
            inner = np.matmul(inner, core, out=encoded) if trains else inner
        if trains and tied:
            self._found["encoder"] += np.matmul(inner.mT, x, out=self._through_encoder)
        elif trains:
            np.matmul(inner.mT, x, out=self._found["encoder"])


def _to_masked_residual(
    output: Float[np.ndarray, "r s n"], points: HeadPoints, importance: Float[np.ndarray, "r n"], *, rectified: bool
) -> Float[np.ndarray, "r"]:
    """Turn W_dᵀ h + c into (y − A x) act′ in place; Σ_s ‖y − A x‖² of each member."""
    flat, rows = output.reshape(-1), output.reshape(len(output), -1)
    if rectified:
        np.maximum(flat, 0, out=flat)
    at_points = flat[points.places]
    residual = at_points - importance.reshape(-1)[points.channels] * points.values
    flat[points.places] = residual
    energy = np.vecdot(rows, rows)
    if rectified:  # where y = 0 a residual is left at points only
        flat[points.places] = residual * (at_points > 0)
    return energy


def _arrays(weights: Weights) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """W_e, W_d, B and c."""
    parts = (weights.encoder, weights.decoder, weights.core, weights.bias)
    encoder, decoder, core, bias = (None if part is None else part.detach().numpy() for part in parts)
    assert encoder is not None
    return encoder, encoder if decoder is None else decoder, core, bias
