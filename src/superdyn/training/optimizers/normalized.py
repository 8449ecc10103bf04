"""Normalised gradient descent: steps of one length, whatever the size of the gradient.

step = η g/‖g‖, the norm taken over all parameters of one member (Nesterov 1984; Hazan, Levy, Shalev-Shwartz 2015).
Positive weight decay is decoupled: in the gradient it would set the direction alone once g has become small.
Axis legend: `r` run, `p` entries of all parameters of one member.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.training.optimizers.norms import member_norm
from superdyn.training.optimizers.protocol import StackedOptimizer, per_member


class NormalizedDescent(StackedOptimizer):
    """No state. A member whose gradient is zero stays where it is."""

    coupled_decay = False

    def _step(self, gradient: Float[Tensor, "r p"], lr: Float[Tensor, "r"]) -> Float[Tensor, "r p"]:
        norm = member_norm(gradient)
        length = torch.where(norm == 0, 1.0, norm)
        return gradient.mul_(per_member(lr / length, gradient))
