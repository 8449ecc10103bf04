"""One flat row per member: all tensors of a pack side by side, so that one launch serves all.

Tensors (r, …) with m_1, m_2, … entries per member become one matrix (r, p), p = Σ m_j, in the order of the
names.
Axis legend: `r` run, `p` entries of all tensors of one member.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from superdyn.models.dense_chain import SideBySide


class Layout:
    """Where each named tensor lies in a member's flat row."""

    def __init__(self, tensors: Mapping[str, Float[Tensor, "r ..."]]):
        self.shapes = {name: tuple(tensor.shape[1:]) for name, tensor in tensors.items()}
        self.size = sum(math.prod(shape) for shape in self.shapes.values())

    def gather(self, tensors: Mapping[str, Float[Tensor, "r ..."]]) -> Float[Tensor, "r p"]:
        """All in one flat row, a copy unless they already lie in one; further names in `tensors` are left out."""
        if isinstance(tensors, SideBySide) and list(tensors) == list(self.shapes):
            return tensors.flat
        return torch.cat([tensors[name].flatten(1) for name in self.shapes], dim=1)

    def adopt(self, parameters: Mapping[str, Float[Tensor, "r ..."]]) -> Float[Tensor, "r p"]:
        """A flat copy of the parameters, which become views of it."""
        flat = self.gather({name: parameter.detach() for name, parameter in parameters.items()})
        for name, view in self.views(flat).items():
            parameters[name].data = view
        return flat

    def views(self, flat: Shaped[Tensor, "r p"]) -> dict[str, Shaped[Tensor, "r ..."]]:
        """The named tensors inside `flat`, sharing its memory."""
        pieces = flat.split([math.prod(shape) for shape in self.shapes.values()], dim=1)
        return {
            name: piece.unflatten(1, shape) for (name, shape), piece in zip(self.shapes.items(), pieces, strict=True)
        }
