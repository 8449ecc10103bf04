"""Initial parameters of stacked decoders: each member draws from its own seed, so it starts the same alone and packed.

Weights are Gaussian with the member's `init_scale` (GPT-2: 0.02), those that write into the residual stream divided by
√(2L) for L layers (Radford et al. 2019); gains are 1, biases 0. A draw is named by the parameter's own name.
Axis legend: `r` run.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from superdyn.features.generator import normals


class Initial:
    """Makes the parameters of members with these seeds.

    Args:
        seeds: one per member.
        scales: the standard deviation of initial weights, one per member.
        dtype: of every parameter.
    """

    def __init__(self, seeds: Sequence[int], scales: Sequence[float], dtype: torch.dtype):
        assert len(seeds) == len(scales), "one initial scale per member"
        self.seeds, self.scales, self.dtype = tuple(seeds), tuple(scales), dtype

    def weights(self, name: str, shape: tuple[int, ...], factor: float = 1.0) -> nn.Parameter:
        """(r, *shape), Gaussian of standard deviation factor · init_scale."""
        return self.stacked(
            [normals(seed, shape, name) * (factor * s) for seed, s in zip(self.seeds, self.scales, strict=True)]
        )

    def unit(self, name: str, shape: tuple[int, ...], deviation: float) -> nn.Parameter:
        """(r, *shape), Gaussian of this standard deviation whatever the members' scale."""
        return self.stacked([normals(seed, shape, name) * deviation for seed in self.seeds])

    def constant(self, value: float, shape: tuple[int, ...]) -> nn.Parameter:
        """(r, *shape), all `value`."""
        return nn.Parameter(torch.full((len(self.seeds), *shape), value, dtype=self.dtype))

    def stacked(self, members: Sequence[np.ndarray]) -> nn.Parameter:
        """One array per member as a parameter with the run axis first."""
        stacked = torch.empty(len(members), *members[0].shape, dtype=self.dtype)
        for r, member in enumerate(members):
            stacked[r] = torch.from_numpy(member)
        return nn.Parameter(stacked)
