"""Students of a user's own for runs of several ranks: one that is plain, two that break on the second rank."""

import os
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.generator import normals
from superdyn.models.protocol import DTYPES


class OneLayer(nn.Module):
    """y = relu(W x), differentiated by autograd."""

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__()
        n = configs[0].data.n_features
        values = np.stack([n**-0.5 * normals(config.seed, (n, n), "weight") for config in configs])
        self.weight = nn.Parameter(torch.from_numpy(values).to(DTYPES[configs[0].trainer.precision]))

    def forward(self, x: Float[Tensor, "r s n"]) -> Float[Tensor, "r s n"]:
        return torch.relu(x @ self.weight.mT)


class Fragile(OneLayer):
    """Its outputs are not numbers from training step 10 on, on one rank only."""

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__(configs)
        self.steps = 0

    def forward(self, x: Float[Tensor, "r s n"]) -> Float[Tensor, "r s n"]:
        self.steps += torch.is_grad_enabled()
        broken = self.steps > 10 and os.environ.get("RANK") == "1"
        return super().forward(x) * (float("nan") if broken else 1.0)


class Failing(OneLayer):
    """Raises an error in the first training step, on one rank only."""

    def forward(self, x: Float[Tensor, "r s n"]) -> Float[Tensor, "r s n"]:
        if torch.is_grad_enabled() and os.environ.get("RANK") == "1":
            raise RuntimeError("the second rank is on fire")
        return super().forward(x)
