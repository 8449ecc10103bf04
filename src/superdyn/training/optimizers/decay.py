"""Weight decay of a pack whose members may differ in its strength and sign.

w > 0, coupled (L2): g += w θ before the rule; w > 0, decoupled (Loshchilov & Hutter 2019): θ *= 1 − η w
beside it; w < 0, beside every rule: the rows of the embedding grow towards unit norm, W_i += η|w|(1/‖W_i‖ − 1) W_i for
every feature i (Liu, Liu, Gore 2025), which pushes a model into superposition as positive decay pushes it out.
Axis legend: `r` run, `n` feature, `k` hidden.
"""

from collections.abc import Collection, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from superdyn.config import OptimizerConfig
from superdyn.models.decoder.groups import EMBEDDINGS
from superdyn.training.optimizers.norms import row_norms
from superdyn.training.sharding import UNSHARDED, Sharding


class WeightDecay(nn.Module):
    """Applies each member's weight decay to the parameters it is meant for."""

    shrink: Float[Tensor, "r"]
    grow: Float[Tensor, "r"]

    def __init__(
        self,
        parameters: Mapping[str, Tensor],
        configs: Sequence[OptimizerConfig],
        *,
        coupled: bool,
        sharding: Sharding = UNSHARDED,
    ):
        super().__init__()
        self._sharding = sharding
        self._spared: dict[str, Tensor] = {}
        device = next(iter(parameters.values())).device
        decay = torch.tensor([config.weight_decay for config in configs], dtype=torch.float64, device=device)
        # The signs are read here, on the host, so that an update never has to ask the device.
        everywhere = configs[0].weight_decay_on == "all"
        shrinking = any(config.weight_decay > 0 for config in configs)
        growing = any(config.weight_decay < 0 for config in configs)
        shrunk = {n: p for n, p in parameters.items() if shrinking and (everywhere or n in EMBEDDINGS)}
        self.coupled_to = shrunk if coupled else {}
        self.decoupled_from = {} if coupled else shrunk
        self.grown = {n: p for n, p in parameters.items() if growing and n in EMBEDDINGS}
        self.strengths = [max(config.weight_decay, 0.0) for config in configs]
        self.register_buffer("shrink", decay.clamp(min=0), persistent=False)
        self.register_buffer("grow", (-decay).clamp(min=0), persistent=False)

    def spare(self, names: Collection[str]) -> None:
        """Let these parameters of all members shrink no more."""
        self.coupled_to = {name: p for name, p in self.coupled_to.items() if name not in names}
        self.decoupled_from = {name: p for name, p in self.decoupled_from.items() if name not in names}

    def leave_out(self, untrained: Mapping[str, Bool[Tensor, "r"]]) -> None:
        """Spare these parameters of these members."""
        self._spared = dict(untrained)

    def _strength(self, decay: Float[Tensor, "r"], name: str) -> Float[Tensor, "r"]:
        return decay.masked_fill(self._spared[name], 0.0) if name in self._spared else decay

    def couple(self, gradients: Mapping[str, Float[Tensor, "r ..."]]) -> None:
        """g += w θ in place, for the members and parameters that decay."""
        for name, parameter in self.coupled_to.items():
            shrink = _along(self._strength(self.shrink, name), parameter)
            # x + (−0.0) is x to the bit, so that a member without decay does not notice one that has it.
            gradients[name].add_(torch.where(shrink > 0, shrink * parameter, -0.0))

    def decouple(self, lr: Float[Tensor, "r"]) -> None:
        """θ *= 1 − η w, in place; a factor of 1 keeps every bit."""
        for name, parameter in self.decoupled_from.items():
            parameter.mul_(_along(1 - lr * self._strength(self.shrink, name), parameter))

    def grow_embeddings(self, lr: Float[Tensor, "r"]) -> None:
        """The growth of rows, in place; a member of learning rate 0, or that does not grow, keeps every bit."""
        for name, embedding in self.grown.items():
            norms = row_norms(embedding, name, self._sharding)
            rates = (lr * self._strength(self.grow, name)).to(embedding.dtype).unsqueeze(1)
            grows = (rates > 0) & (norms > 0)  # a zero row has no direction
            embedding.mul_(torch.where(grows, 1 + rates * (1 / norms - 1), 1.0).unsqueeze(1))


def _along(values: Float[Tensor, "r"], parameter: Float[Tensor, "r ..."]) -> Float[Tensor, "r ..."]:
    """One value per member, shaped and typed to multiply `parameter`."""
    return values.to(parameter.dtype).view(-1, *(1,) * (parameter.ndim - 1))
