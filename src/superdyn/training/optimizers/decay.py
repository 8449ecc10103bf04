"""Weight decay of a pack whose members may differ in its strength and sign.

w > 0, coupled (L2): g += w θ before the rule; w > 0, decoupled (Loshchilov & Hutter 2019): θ *= 1 − η w
beside it; w < 0, under every rule: row-norm growth of the embedding (`growth.py`), beside it. Axis legend:
`r` run.
"""

from collections.abc import Collection, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from superdyn.config import OptimizerConfig
from superdyn.training.optimizers.growth import grow_rows
from superdyn.training.sharding import UNSHARDED, Sharding

EMBEDDINGS = ("encoder", "decoder")
"""Parameters (r, k, n) with one row per feature, as column [:, :, i]: what decay on "encoder" acts on."""


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
        for name, parameter in self.grown.items():
            grow_rows(parameter, lr * self._strength(self.grow, name), name, self._sharding)


def _along(values: Float[Tensor, "r"], parameter: Float[Tensor, "r ..."]) -> Float[Tensor, "r ..."]:
    """One value per member, shaped and typed to multiply `parameter`."""
    return values.to(parameter.dtype).view(-1, *(1,) * (parameter.ndim - 1))
