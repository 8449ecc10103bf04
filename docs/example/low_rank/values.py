"""A value law: exponential with mean 1, by its inverse distribution function and its exact moments."""

import numpy as np
import torch
from jaxtyping import Float64


class Exponential:
    """v = −log(1 − u), E v = 1, E v² = 2."""

    mean = 1.0
    second_moment = 2.0

    def quantile(self, u: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        return -np.log1p(-u)

    def device_quantile(self, u: torch.Tensor) -> torch.Tensor:
        """The same for a GPU, where it draws."""
        return -torch.log1p(-u)
