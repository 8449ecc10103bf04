"""The loss of every feature of every member: what is recorded at a measurement step.

Linear students are measured exactly. Others are measured on a fixed evaluation set of their own, importance weighted so
that rare features are represented (`features/evaluation.py`, `features/sequence_evaluation.py`), block by block; of W
ranks each takes every W-th block.
Axis legend: `r` run, `s` sample, `n` feature, `b` block.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config import DataConfig, RunConfig
from superdyn.features.batches import SparseBatch
from superdyn.features.batching import make_batches
from superdyn.features.evaluation import evaluation_set
from superdyn.features.sampler import sample_dtype
from superdyn.features.sequence_evaluation import sequence_evaluation_set
from superdyn.models.lag import Lag
from superdyn.models.protocol import ExplicitStudent, LinearStudent
from superdyn.models.risk import Population, population_feature_loss
from superdyn.training.data_parallel import Ranks

_BLOCK = 256


def block_size(data: DataConfig) -> int:
    """Samples or sequences evaluated at once: 256 where that divides the evaluation set, else all."""
    return _BLOCK if data.eval_size % _BLOCK == 0 else data.eval_size


class Evaluation(nn.Module):
    """Measures the members of a pack; holds their evaluation sets where they have no exact risk."""

    weights: Float[Tensor, "b r s"]

    def __init__(self, configs: Sequence[RunConfig], *, linear: bool):
        super().__init__()
        self.linear = linear
        self.ranks = Ranks.current()
        self.references: dict[str, Tensor] = {}
        if not linear:
            data = configs[0].data
            drawn = sequence_evaluation_set if data.kind == "sequences" else evaluation_set
            sets = [drawn(config) for config in configs]
            n_blocks = data.eval_size // block_size(data)
            weights = np.stack([s.weights for s in sets]).reshape(len(sets), n_blocks, -1)
            self.register_buffer("weights", torch.from_numpy(weights).transpose(0, 1).contiguous(), persistent=False)
            points, size = [s.points for s in sets], block_size(data) * data.length
            self._blocks = make_batches(points, n_blocks, size, data, sample_dtype(configs[0]))
            self._n_measured, self._lag = sets[0].n_measured, Lag.of(data)

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
            if isinstance(student, ExplicitStudent) and self._lag.steps == 0:
                total += student.sampled_feature_loss(batch, population.importance, weights)
            else:
                total += _dense_feature_loss(student, batch, population.importance, weights, self._lag)
        return self.ranks.total(total) * (0.5 / self._n_measured)


def _dense_feature_loss(
    student: nn.Module, batch: SparseBatch, importance: Float[Tensor, "r n"], weights: Float[Tensor, "r s"], lag: Lag
) -> Float[Tensor, "r n"]:
    x = batch.dense()
    output, x = lag.pair(student(x), x)
    residual = output - importance[:, None, :] * x
    return (residual.square() * weights[:, :, None]).sum(dim=1)
