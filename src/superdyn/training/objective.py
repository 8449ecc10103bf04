"""What a pack minimises and what is measured: the sampled loss, or the exact population risk of a linear student.

Linear students are always measured exactly. Others are measured on a fixed evaluation set of their own, importance
weighted so that rare features are represented (see `features/evaluation.py`), in blocks of samples.
Axis legend: `r` run, `s` sample, `n` feature.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.evaluation import evaluation_set
from superdyn.features.moments import data_moments
from superdyn.features.probabilities import importances
from superdyn.models.protocol import DTYPES, LinearStudent
from superdyn.models.risk import population_feature_loss, sampled_loss

_BLOCK = 1024
"""Samples evaluated at once; bounds the memory of a measurement."""


class Objective(nn.Module):
    """Losses of every member of a pack against its own teacher."""

    importance: Float[Tensor, "r n"]
    mean: Float[Tensor, "r n"] | None
    teacher: Float[Tensor, "r n n"] | None
    variance: Float[Tensor, "r n"]
    eval_x: Float[Tensor, "r s n"]
    eval_weight: Float[Tensor, "r s"]

    def __init__(self, configs: Sequence[RunConfig], *, linear: bool):
        super().__init__()
        dtype = DTYPES[configs[0].trainer.precision]
        moments = [data_moments(config.data) for config in configs]
        targets = [importances(config.data.n_features, config.data.importance_exponent) for config in configs]
        self.linear = linear
        self.register_buffer("importance", torch.from_numpy(np.stack(targets)).to(dtype), persistent=False)
        mean = torch.from_numpy(np.stack([m.mean for m in moments])).to(dtype)
        self.register_buffer("mean", mean if mean.any() else None, persistent=False)
        self.register_buffer("teacher", torch.diag_embed(self.importance) if linear else None, persistent=False)
        self.register_buffer(
            "variance", torch.from_numpy(np.stack([m.variance for m in moments])).to(dtype), persistent=False
        )
        if not linear:
            sets = [evaluation_set(config) for config in configs]
            x, weight = np.stack([s.x for s in sets]), np.stack([s.weights for s in sets])
            self.register_buffer("eval_x", torch.from_numpy(x).to(dtype), persistent=False)
            self.register_buffer("eval_weight", torch.from_numpy(weight), persistent=False)

    def training_loss(self, student: nn.Module, x: Float[Tensor, "r s n"] | None) -> Float[Tensor, "r"]:
        """L of each member, differentiable; `x` is None for exact gradients."""
        if x is None:
            return self._population(student).sum(dim=1)
        return sampled_loss(student(x), x, self.importance)

    @torch.no_grad()
    def feature_loss(self, student: nn.Module) -> Float[Tensor, "r n"]:
        """ℓ_i of each member: exact for linear students, else on the fixed evaluation set (float64)."""
        return self._population(student).double() if self.linear else self._evaluated(student)

    def _population(self, student: nn.Module) -> Float[Tensor, "r n"]:
        assert isinstance(student, LinearStudent)
        assert self.teacher is not None
        return population_feature_loss(student.linear_map(), student.offset(), self.teacher, self.mean, self.variance)

    def _evaluated(self, student: nn.Module) -> Float[Tensor, "r n"]:
        total = torch.zeros_like(self.importance, dtype=torch.float64)
        n_samples = self.eval_x.shape[1]
        for start in range(0, n_samples, _BLOCK):
            x = self.eval_x[:, start : start + _BLOCK].contiguous()
            weight = self.eval_weight[:, start : start + _BLOCK, None]
            residual = (student(x) - self.importance[:, None, :] * x).double()
            total += (weight * residual.square()).sum(dim=1)
        return total * (0.5 / n_samples)
