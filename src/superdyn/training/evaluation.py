"""The loss of every feature of every member: what is recorded at a measurement step.

Linear students are measured exactly. Others are measured on a fixed evaluation set of their own, importance weighted so
that rare features are represented (`features/evaluation.py`), block by block; of W ranks each takes every W-th block.
Axis legend: `r` run, `s` sample, `n` feature, `b` block.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.batches import SparseBatch, SparseBatches
from superdyn.features.batching import DenseBatches, make_batches
from superdyn.features.evaluation import evaluation_set
from superdyn.features.sampler import Points, sample_dtype
from superdyn.models.protocol import ExplicitStudent, LinearStudent
from superdyn.models.risk import Population, population_feature_loss
from superdyn.training.data_parallel import Ranks

_BLOCK = 256
"""Samples evaluated at once, where it divides the evaluation set."""


class Evaluation(nn.Module):
    """Measures the members of a pack; holds their evaluation sets where they have no exact risk."""

    weights: Float[Tensor, "b r s"]

    def __init__(self, configs: Sequence[RunConfig], *, linear: bool):
        super().__init__()
        self.linear = linear
        self.ranks = Ranks.current()
        if not linear:
            sets = [evaluation_set(config) for config in configs]
            size = configs[0].data.eval_size
            self._block = _BLOCK if size % _BLOCK == 0 else size
            weights = np.stack([s.weights for s in sets]).reshape(len(sets), -1, self._block)
            self.register_buffer("weights", torch.from_numpy(weights).transpose(0, 1).contiguous(), persistent=False)
            self._blocks = _blocks(configs, [s.points for s in sets], self._block)

    @torch.no_grad()
    def feature_loss(self, student: nn.Module, population: Population) -> Float[Tensor, "r n"]:
        """ℓ_i of each member (float64)."""
        if not self.linear:
            return self._evaluated(student, population)
        if isinstance(student, ExplicitStudent):
            return student.population_feature_loss(population).double()
        assert isinstance(student, LinearStudent)
        return population_feature_loss(student.linear_map(), student.offset(), population).double()

    def _evaluated(self, student: nn.Module, population: Population) -> Float[Tensor, "r n"]:
        self._blocks = self._blocks.to(self.weights.device)
        total = torch.zeros_like(population.importance, dtype=torch.float64)
        for b in range(self.ranks.rank, len(self._blocks), self.ranks.size):
            batch = self._blocks.step(b)
            weights = self.weights[b].to(population.importance.dtype)
            if isinstance(student, ExplicitStudent):
                total += student.sampled_feature_loss(batch, population.importance, weights)
            else:
                total += _dense_feature_loss(student, batch, population.importance, weights)
        return self.ranks.total(total) * (0.5 / self.weights.shape[0] / self.weights.shape[2])


def _dense_feature_loss(
    student: nn.Module, batch: SparseBatch, importance: Float[Tensor, "r n"], weights: Float[Tensor, "r s"]
) -> Float[Tensor, "r n"]:
    x = batch.dense()
    residual = student(x) - importance[:, None, :] * x
    return (residual.square() * weights[:, :, None]).sum(dim=1)


def _blocks(configs: Sequence[RunConfig], points: Sequence[Points], block: int) -> SparseBatches | DenseBatches:
    data = configs[0].data
    return make_batches(points, data.eval_size // block, block, data, sample_dtype(configs[0]))
