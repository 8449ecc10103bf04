"""Muon: momentum whose matrices are orthogonalised before the step, in the conventions of torch.optim.Muon.

m ← μ m + (1−μ) g;  u = μ m + (1−μ) g with Nesterov, else m;  step = η √max(1, rows/columns) NS₅(u) (Jordan et
al. 2024). NS₅ is computed in the parameter's own precision (torch: bfloat16). Vectors take AdamW; positive
decay is decoupled. A sharded matrix is gathered, one at a time, and orthogonalised on every rank.
Axis legend: `r` run, `p` entries of all matrices of one member, `i` rows, `j` columns.
"""

import math
from collections.abc import Collection, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.config import OptimizerConfig
from superdyn.models.product import product
from superdyn.training.optimizers.adam import AdamW
from superdyn.training.optimizers.norms import member_norm
from superdyn.training.optimizers.protocol import StackedOptimizer, per_member
from superdyn.training.sharding import UNSHARDED, Sharding

NS_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
NS_STEPS = 5
NS_EPS = 1e-7
"""Newton–Schulz settings of Jordan et al. 2024, the defaults of torch.optim.Muon."""


class Muon(StackedOptimizer):
    """State: `momentum/<matrix>`, and AdamW's state for the vectors.

    Args:
        elementwise: matrices that AdamW takes too, such as embeddings, whose rows are looked up one by one.

    Raises:
        ValueError: when no parameter is a matrix per member.
    """

    coupled_decay = False

    def __init__(
        self,
        parameters: Mapping[str, Float[Tensor, "r ..."]],
        configs: Sequence[OptimizerConfig],
        sharding: Sharding = UNSHARDED,
        elementwise: Collection[str] = (),
    ):
        matrices = {name: p for name, p in parameters.items() if p.ndim == 3 and name not in elementwise}
        vectors = {name: p for name, p in parameters.items() if name not in matrices}
        if not matrices:
            raise ValueError(
                f"optimizer.name='muon': this model trains only {sorted(vectors)}, and Muon needs a matrix; "
                f"allowed are sgd, normalized, adam and adamw."
            )
        super().__init__(matrices, configs, sharding)
        self._mu, self._nesterov = configs[0].momentum, configs[0].nesterov
        self._add_slot("momentum")
        self._vectors = AdamW(vectors, configs, sharding) if vectors else None

    @property
    def state(self) -> dict[str, Float[Tensor, "r ..."]]:
        return super().state | ({} if self._vectors is None else self._vectors.state)

    def entries(self) -> list[Tensor]:
        return super().entries() + ([] if self._vectors is None else self._vectors.entries())

    def counters(self) -> list[Tensor]:
        return super().counters() + ([] if self._vectors is None else self._vectors.counters())

    def spare(self, names: Collection[str]) -> None:
        super().spare(names)
        if self._vectors is not None:
            self._vectors.spare(names)

    def update(
        self, gradients: Mapping[str, Float[Tensor, "r ..."]], lr: Float[Tensor, "r"], *, masked: bool = True
    ) -> None:
        super().update(gradients, lr, masked=masked)
        if self._vectors is not None:
            self._vectors.update(gradients, lr, masked=masked)

    def _step(self, gradient: Float[Tensor, "r p"], lr: Float[Tensor, "r"]) -> Float[Tensor, "r p"]:
        gradient.mul_(1 - self._mu)
        momentum = self.get_buffer("momentum").mul_(self._mu).add_(gradient)
        direction = gradient.add_(momentum * self._mu) if self._nesterov else momentum
        steps = self.layout.views(gradient)  # in its place, so that of all whole matrices only one is there at a time
        for name, shard in self.layout.views(direction).items():
            steps[name].copy_(self._matrix_step(name, shard))
        return gradient.mul_(per_member(lr, gradient))

    def _matrix_step(self, name: str, shard: Float[Tensor, "r i j"]) -> Float[Tensor, "r i j"]:
        """√max(1, rows/columns) NS₅ of a whole matrix, of which this rank takes its shard."""
        matrix = self.sharding.whole(name, shard)
        step = orthogonalized(matrix).mul_(math.sqrt(max(1.0, matrix.shape[1] / matrix.shape[2])))
        return self.sharding.own(name, step)


def orthogonalized(x: Float[Tensor, "r i j"]) -> Float[Tensor, "r i j"]:
    """About U Vᵀ for each X = U S Vᵀ: Newton–Schulz steps X ← a X + (b G + c G²) X, G = X Xᵀ, from X/‖X‖_F.

    The singular values of the result lie near 1 (roughly 0.7 to 1.2), not at it: the coefficients buy speed,
    not convergence (Jordan et al. 2024).
    """
    if x.shape[1] > x.shape[2]:
        return orthogonalized(x.mT).mT
    a, b, c = NS_COEFFICIENTS
    x = x / member_norm(x.flatten(1)).clamp(min=NS_EPS).view(-1, 1, 1)
    for _ in range(NS_STEPS):
        gram = product(x, x.mT)
        polynomial = torch.add(gram * b, product(gram, gram).mul_(c))
        x = (x * a).add_(product(polynomial, x))
    return x
