"""An update rule: Lion (Chen et al. 2023), the sign of an interpolation between momentum and gradient.

step = η sign(β₁ m + (1 − β₁) g);  m ← β₂ m + (1 − β₂) g. Axis legend: `r` run, `p` entries of all parameters of a run.
"""

from jaxtyping import Float
from torch import Tensor

from superdyn.training.optimizers.protocol import StackedOptimizer, per_member


class Lion(StackedOptimizer):
    """`optimizer.options.beta` is β₁, 0.9 if it is not given; β₂ is the second of `optimizer.betas`."""

    coupled_decay = False  # weight decay acts beside the step; True: it joins the gradient

    def __init__(self, parameters, configs, *others):
        super().__init__(parameters, configs, *others)
        self.beta = configs[0].options.get("beta", 0.9)
        self.keep = configs[0].betas[1]
        self._add_slot("momentum")  # zeros of the parameters' shape, part of every checkpoint

    def _step(self, gradient: Float[Tensor, "r p"], lr: Float[Tensor, "r"]) -> Float[Tensor, "r p"]:
        momentum = self.get_buffer("momentum")
        direction = (momentum * self.beta + gradient * (1 - self.beta)).sign()
        momentum.mul_(self.keep).add_(gradient * (1 - self.keep))
        return direction * per_member(lr, gradient)
