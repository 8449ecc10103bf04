"""The contribution of every frequency bin to the loss of every member: what is recorded at a measurement step.

ℓ_b = (1/n) Σ loss of the evaluation tokens in bin b, so that Σ_b ℓ_b = L; the bin is that of the token to be predicted.
Each member is measured on a fixed set of its own, block by block; of W ranks each takes every W-th block, and as many
as the others, who may need its shards of the parameters: where the set has ended the first block again, uncounted.
Axis legend: `r` run, `s` sample, `t` position, `v` token of the vocabulary, `b` bin.
"""

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.token_source import bin_of_token, language
from superdyn.features.token_stream import evaluation_tokens
from superdyn.features.tokens.batch import TokenBatch
from superdyn.features.tokens.floors import least_mean_loss
from superdyn.models.decoder.losses import LossKind
from superdyn.training.data_parallel import Ranks
from superdyn.training.token_objective import TokenObjective

_BLOCK_TOKENS = 8192
"""Tokens of a member evaluated at once."""


class TokenEvaluation(nn.Module):
    """Measures the members of a pack; holds their evaluation sets.

    Attributes:
        references: `loss_floor`, the least possible mean loss (r,) over the language, where it is known.
    """

    inputs: Int[Tensor, "r s t"]
    targets: Int[Tensor, "r s t"]
    bins: Int[Tensor, "r v"]

    def __init__(self, configs: Sequence[RunConfig], objective: TokenObjective):
        super().__init__()
        # Not a submodule: the engine holds it.
        self._loss, self.ranks = objective.loss, Ranks.current()
        sets = [evaluation_tokens(config) for config in configs]
        self.register_buffer("inputs", torch.stack([s.inputs for s in sets]), persistent=False)
        self.register_buffer("targets", torch.stack([s.targets for s in sets]), persistent=False)
        bins = np.stack([bin_of_token(config.data) for config in configs])
        self.register_buffer("bins", torch.from_numpy(bins), persistent=False)
        self._n_bins = int(bins.max()) + 1
        self._block = max(1, _BLOCK_TOKENS // configs[0].data.length)
        self.references = _floor(configs)

    @torch.no_grad()
    def feature_loss(self, student: nn.Module, population: None) -> Float[Tensor, "r b"]:
        """ℓ_b of each member (float64)."""
        runs, samples = self.inputs.shape[:2]
        total = torch.zeros(runs, self._n_bins, dtype=torch.float64, device=self.inputs.device)
        for turn in range(0, samples, self.ranks.size * self._block):
            first = turn + self.ranks.rank * self._block
            counted = first < samples
            part = slice(first, first + self._block) if counted else slice(0, self._block)
            batch = TokenBatch(self.inputs[:, part], self.targets[:, part])
            loss = self._loss(student, batch).per_token.double()
            if counted:
                total.scatter_add_(1, self.bins.gather(1, batch.targets.flatten(1)), loss)
        return self.ranks.total(total) / self.targets[0].numel()


def _floor(configs: Sequence[RunConfig]) -> dict[str, Float[Tensor, "r"]]:
    tokens = configs[0].data.tokens
    if tokens is None or tokens.source == "files":
        return {}
    loss = cast(LossKind, configs[0].loss)
    floors = [floor for c in configs if (floor := least_mean_loss(language(c.data), loss)) is not None]
    return {"loss_floor": torch.tensor(floors, dtype=torch.float64)} if floors else {}
