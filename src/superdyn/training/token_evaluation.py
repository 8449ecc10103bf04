"""The contribution of every frequency bin to the loss of every member: what is recorded at a measurement step.

ℓ_b = (1/n) Σ loss of the evaluation tokens in bin b, so that Σ_b ℓ_b = L; the bin is that of the token to be predicted.
Each member is measured on a fixed set of its own, block by block; of W ranks each takes every W-th block, and as many
as the others, who may need its shards of the parameters: where the set has ended the first block again, uncounted.
Where the least loss of these very tokens is known it is recorded with them, in all and, where the law of the next token
is that of the last one, bin by bin; and how sure the excess over it is.
Axis legend: `r` run, `s` sample, `t` position, `v` token of the vocabulary, `b` bin.
"""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from jaxtyping import Float, Float64, Int, Int64
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.token_source import bin_of_token, language
from superdyn.features.token_stream import evaluation_tokens
from superdyn.features.tokens.batch import TokenBatch
from superdyn.features.tokens.floors import best_token_losses, least_mean_loss, least_mean_losses
from superdyn.models.decoder.losses import LossKind
from superdyn.models.decoder.memory import EVALUATED_TOKENS
from superdyn.models.total import member_sum
from superdyn.training.data_parallel import Ranks
from superdyn.training.token_objective import TokenObjective


class TokenEvaluation(nn.Module):
    """Measures the members of a pack; holds their evaluation sets.

    Attributes:
        least_by_bin: (r, b) each bin's part in the least loss of the evaluation tokens; None where it is not known.
        references: what is recorded beside the losses, each (r,), where it is known: `loss_floor`, the least possible
            mean loss over the language; `least_loss`, that of the evaluation tokens; `excess_error`, the standard error
            of what the last measured loss exceeds it by.
    """

    inputs: Int[Tensor, "r s t"]
    targets: Int[Tensor, "r s t"]
    bins: Int[Tensor, "r v"]
    least: Float64[Tensor, "r s"]
    """Least mean loss of each sequence; no sequences where it is not known."""

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
        self._block = max(1, EVALUATED_TOKENS // configs[0].data.length)
        least = _least(configs, sets)
        self.register_buffer("least", least, persistent=False)
        self.least_by_bin = _least_by_bin(configs, sets, bins)
        self.references = _floor(configs)
        if least.numel():
            self.references["least_loss"] = torch.stack([of_member.mean() for of_member in least])

    @torch.no_grad()
    def feature_loss(self, student: nn.Module, population: None) -> Float[Tensor, "r b"]:
        """ℓ_b of each member (float64); brings `references` up to date."""
        runs, samples, length = self.inputs.shape
        total = torch.zeros(runs, self._n_bins, dtype=torch.float64, device=self.inputs.device)
        of_sequence = torch.zeros(runs, samples, dtype=torch.float64, device=self.inputs.device)
        for turn in range(0, samples, self.ranks.size * self._block):
            first = turn + self.ranks.rank * self._block
            counted = first < samples
            part = slice(first, first + self._block) if counted else slice(0, self._block)
            batch = TokenBatch(self.inputs[:, part], self.targets[:, part])
            loss = self._loss(student, batch).per_token.double()
            if counted:
                total.scatter_add_(1, self.bins.gather(1, batch.targets.flatten(1)), loss)
                of_sequence[:, part] = member_sum(loss.view(-1, length)).view(runs, -1)
        if self.least.numel():
            self.references["excess_error"] = _standard_error(self.ranks.total(of_sequence) / length - self.least)
        return self.ranks.total(total) / self.targets[0].numel()


def _standard_error(excess: Float64[Tensor, "r s"]) -> Float64[Tensor, "r"]:
    """Of the mean over the sequences, which are drawn independently; NaN for a single one."""
    count = excess.shape[1]
    deviation = excess - member_sum(excess.clone())[:, None] / count
    variance = member_sum(deviation.square()) / (count - 1 or math.nan)
    return (variance / count).sqrt()


def _least(configs: Sequence[RunConfig], sets: Sequence[TokenBatch]) -> Float64[Tensor, "r s"]:
    tokens = configs[0].data.tokens
    if tokens is None or tokens.source == "files":
        return torch.zeros(len(configs), 0, dtype=torch.float64)
    loss = cast(LossKind, configs[0].loss)
    found = [least_mean_losses(language(c.data), batch, loss) for c, batch in zip(configs, sets, strict=True)]
    known = [torch.from_numpy(least) for least in found if least is not None]
    return torch.stack(known) if known else torch.zeros(len(configs), 0, dtype=torch.float64)


def _least_by_bin(
    configs: Sequence[RunConfig], sets: Sequence[TokenBatch], bins: Int64[np.ndarray, "r v"]
) -> Float64[np.ndarray, "r b"] | None:
    tokens = configs[0].data.tokens
    if tokens is None or tokens.source == "files":
        return None
    loss, found = cast(LossKind, configs[0].loss), []
    for config, batch, bin_of in zip(configs, sets, bins, strict=True):
        of_token = best_token_losses(language(config.data), batch, loss)
        if of_token is None:
            return None
        bin_of_target = bin_of[batch.targets.numpy().ravel()]
        found.append(np.bincount(bin_of_target, of_token.ravel(), minlength=int(bins.max()) + 1) / of_token.size)
    return np.stack(found)


def _floor(configs: Sequence[RunConfig]) -> dict[str, Float[Tensor, "r"]]:
    tokens = configs[0].data.tokens
    if tokens is None or tokens.source == "files":
        return {}
    loss = cast(LossKind, configs[0].loss)
    floors = [floor for c in configs if (floor := least_mean_loss(language(c.data), loss)) is not None]
    return {"loss_floor": torch.tensor(floors, dtype=torch.float64)} if floors else {}
