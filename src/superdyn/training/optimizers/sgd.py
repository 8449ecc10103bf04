"""Gradient descent with (Nesterov) momentum, in the convention of torch.optim.SGD without dampening.

m ← μ m + g;  step = η m, or η (g + μ m) with Nesterov (Sutskever et al. 2013). Positive weight decay is L2.
Axis legend: `r` run, `p` entries of all parameters of one member.
"""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from superdyn.config import OptimizerConfig
from superdyn.training.optimizers.protocol import StackedOptimizer, per_member
from superdyn.training.sharding import UNSHARDED, Sharding


class SGD(StackedOptimizer):
    """State: `momentum/<parameter>` when the momentum is not zero, else none."""

    coupled_decay = True

    def __init__(
        self,
        parameters: Mapping[str, Float[Tensor, "r ..."]],
        configs: Sequence[OptimizerConfig],
        sharding: Sharding = UNSHARDED,
    ):
        super().__init__(parameters, configs, sharding)
        self._mu, self._nesterov = configs[0].momentum, configs[0].nesterov
        if self._mu:
            self._add_slot("momentum")

    def _direction(self, gradient: Float[Tensor, "r p"]) -> Float[Tensor, "r p"]:
        """g, m or g + μ m; overwrites `gradient`, advances m."""
        if not self._mu:
            return gradient
        momentum = self.get_buffer("momentum").mul_(self._mu).add_(gradient)
        return gradient.add_(momentum * self._mu) if self._nesterov else momentum

    def _step(self, gradient: Float[Tensor, "r p"], lr: Float[Tensor, "r"]) -> Float[Tensor, "r p"]:
        return self._direction(gradient) * per_member(lr, gradient)
