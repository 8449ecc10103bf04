"""Normalised gradient descent: steps of one length, whatever the size of the gradient.

step = η g/‖g‖, the norm taken over all parameters of one member (Hazan, Levy, Shalev-Shwartz 2015); with
momentum the direction is normalised after it, η m/‖m‖ (Cutkosky & Mehta 2020). Positive weight decay is
decoupled: inside the gradient it would set the direction alone once g has become small.
Axis legend: `r` run, `p` entries of all parameters of one member.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.training.optimizers.norms import member_norm
from superdyn.training.optimizers.protocol import per_member
from superdyn.training.optimizers.sgd import SGD


class NormalizedDescent(SGD):
    """State as for SGD. A member whose direction is zero stays where it is."""

    coupled_decay = False

    def _step(self, gradient: Float[Tensor, "r p"], lr: Float[Tensor, "r"]) -> Float[Tensor, "r p"]:
        direction = self._direction(gradient)
        norm = member_norm(direction, self.sharding)
        length = torch.where(norm == 0, 1.0, norm)
        return direction * per_member(lr / length, direction)
