"""A student whose hidden matrix has rank `model.options.rank`: y = relu(Wᵀ U Vᵀ W x), W (K×N), U and V (K×rank).

Axis legend: `r` run, `s` sample, `n` feature, `k` hidden.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config import ConfigError, RunConfig
from superdyn.features.generator import normals
from superdyn.models.product import product


class LowRankStudent(nn.Module):
    """Every parameter has the run axis first and is drawn from its own member's seed."""

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__()
        model, n_features = configs[0].model, configs[0].data.n_features
        rank = model.options.get("rank")
        if not isinstance(rank, int) or not 1 <= rank <= model.width:
            raise ConfigError(f"model.options.rank={rank}: must be an integer from 1 to model.width={model.width}.")
        self.encoder = self._draw(configs, "encoder", (model.width, n_features), model.width**-0.5)
        self.left = self._draw(configs, "left", (model.width, rank), model.width**-0.5)
        self.right = self._draw(configs, "right", (model.width, rank), model.width**-0.5)

    @staticmethod
    def _draw(configs: Sequence[RunConfig], tag: str, shape: tuple[int, int], scale: float) -> nn.Parameter:
        values = np.stack([scale * normals(config.seed, shape, tag) for config in configs])
        return nn.Parameter(torch.from_numpy(values).float())

    def forward(self, x: Float[Tensor, "r s n"]) -> Float[Tensor, "r s n"]:
        hidden = product(product(product(x, self.encoder.mT), self.right), self.left.mT)
        return torch.relu(product(hidden, self.encoder))

    def embedding(self) -> Float[Tensor, "r k n"]:
        """Optional: superposition measures are recorded for a student that offers it."""
        return self.encoder
