"""Adam and AdamW, in the conventions of torch.optim.

m ← β₁ m + (1−β₁) g;  v ← β₂ v + (1−β₂) g²;  step = η/(1−β₁ᵗ) · m/(√v/√(1−β₂ᵗ) + ε) (Kingma & Ba 2015).
Positive weight decay is L2 in Adam and decoupled in AdamW (Loshchilov & Hutter 2019).
Axis legend: `r` run, `p` entries of all parameters of one member.
"""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from superdyn.config import OptimizerConfig
from superdyn.training.optimizers.protocol import StackedOptimizer, per_member
from superdyn.training.sharding import UNSHARDED, Sharding


class Adam(StackedOptimizer):
    """State: `first_moment/<parameter>`, `second_moment/<parameter>`, `beta1_power`, `beta2_power` (βᵗ)."""

    coupled_decay = True

    def __init__(
        self,
        parameters: Mapping[str, Float[Tensor, "r ..."]],
        configs: Sequence[OptimizerConfig],
        sharding: Sharding = UNSHARDED,
    ):
        super().__init__(parameters, configs, sharding)
        self._betas, self._eps = configs[0].betas, configs[0].eps
        for slot in ("first_moment", "second_moment"):
            self._add_slot(slot)
        for counter in ("beta1_power", "beta2_power"):
            self._add_counter(counter)

    def _step(self, gradient: Float[Tensor, "r p"], lr: Float[Tensor, "r"]) -> Float[Tensor, "r p"]:
        beta1, beta2 = self._betas
        power1 = self.get_buffer("beta1_power").mul_(beta1)
        power2 = self.get_buffer("beta2_power").mul_(beta2)
        second = self.get_buffer("second_moment").mul_(beta2).add_((gradient * gradient).mul_(1 - beta2))
        first = self.get_buffer("first_moment").mul_(beta1).add_(gradient.mul_(1 - beta1))
        scale = second.sqrt().div_(per_member((1 - power2).sqrt(), second)).add_(self._eps)
        return (first * per_member(lr / (1 - power1), first)).div_(scale)


class AdamW(Adam):
    """Adam with decoupled weight decay."""

    coupled_decay = False
