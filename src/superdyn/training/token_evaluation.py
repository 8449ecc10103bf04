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
        of_bins: (r, b) each, by name: `share`, the part of the evaluation tokens to be predicted that lie in each bin,
            so that ℓ_b / share is the bin's mean loss per token; `least_loss`, its part in the least loss of the
            evaluation tokens, where that is known.
        references: what is recorded beside the losses, each (r,), where it is known: `loss_floor`, the least possible
            mean loss over the language; `least_loss`, that of the evaluation tokens; `excess_error`, the standard error
            of what the last measured loss exceeds it by.
    """

    inputs: Int[Tensor, "r s t"]
    targets: Int[Tensor, "r s t"]
    bins: Int[Tensor, "r v"]
    least: Float64[Tensor, "r s"] | None
    """Least mean loss of each sequence, where it is known."""

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
        self.references: dict[str, Tensor] = {}
        self.of_bins = {"share": _shares(sets, bins, self._n_bins)}
        self.register_buffer("least", None, persistent=False)
        if not configs[0].data.reads_files:
            self._note_least(configs, sets, bins)

    def _note_least(
        self, configs: Sequence[RunConfig], sets: Sequence[TokenBatch], bins: Int64[np.ndarray, "r v"]
    ) -> None:
        """What is known of the least loss of a synthetic language."""
        loss = cast(LossKind, configs[0].loss)
        members = [(language(config.data), batch) for config, batch in zip(configs, sets, strict=True)]
        floor = _of_all([least_mean_loss(law, loss) for law, _ in members])
        if floor is not None:
            self.references["loss_floor"] = torch.from_numpy(floor)
        least = _of_all([least_mean_losses(law, batch, loss) for law, batch in members])
        if least is not None:
            self.least = torch.from_numpy(least)
            self.references["least_loss"] = torch.stack([of_member.mean() for of_member in self.least])
        by_bin = _of_all(
            [
                _binned(best_token_losses(law, batch, loss), bin_of[batch.targets.numpy()], self._n_bins)
                for (law, batch), bin_of in zip(members, bins, strict=True)
            ]
        )
        if by_bin is not None:
            self.of_bins["least_loss"] = by_bin

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
        if self.least is not None:
            self.references["excess_error"] = _standard_error(self.ranks.total(of_sequence) / length - self.least)
        return self.ranks.total(total) / self.targets[0].numel()


def _standard_error(excess: Float64[Tensor, "r s"]) -> Float64[Tensor, "r"]:
    """Of the mean over the sequences, which are drawn independently; NaN for a single one."""
    count = excess.shape[1]
    deviation = excess - member_sum(excess.clone())[:, None] / count
    variance = member_sum(deviation.square()) / (count - 1 or math.nan)
    return (variance / count).sqrt()


def _binned(
    losses: Float64[np.ndarray, "s t"] | None, bin_of: Int64[np.ndarray, "s t"], n_bins: int
) -> Float64[np.ndarray, "b"] | None:
    """Each bin's part in the mean of these losses."""
    return None if losses is None else np.bincount(bin_of.ravel(), losses.ravel(), n_bins) / losses.size


def _shares(sets: Sequence[TokenBatch], bins: Int64[np.ndarray, "r v"], n_bins: int) -> Float64[np.ndarray, "r b"]:
    """The part of the evaluation tokens to be predicted that lie in each bin."""
    targets = [batch.targets.numpy().ravel() for batch in sets]
    return np.stack([np.bincount(of[t], minlength=n_bins) / t.size for of, t in zip(bins, targets, strict=True)])


def _of_all(found: Sequence[np.ndarray | float | None]) -> np.ndarray | None:
    """Stacked over the members, of all of which it is known or of none."""
    known = [value for value in found if value is not None]
    return np.stack(known) if known else None
