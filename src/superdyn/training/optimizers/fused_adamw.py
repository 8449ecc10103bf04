"""AdamW in torch's fused kernel: each number is read and written once; the stacked rule passes over it a dozen times.

For language models, whose many parameters make memory the limit and whose packs are small: one call for each member and
each strength of its decay, so that members keep learning rates and decays of their own. The kernel sees one member's
tensors at a time, whatever the pack, so its bits on the CPU are those of a pack of one. The state is that of AdamW, so
checkpoints do not tell the two apart. Axis legend: `r` run.
"""

import math
from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.training.optimizers.adam import AdamW


class _Call(NamedTuple):
    """The tensors of one member that decay alike: their names, they themselves and their moments."""

    member: int
    names: list[str]
    parameters: list[Tensor]
    first: list[Tensor]
    second: list[Tensor]
    decay: float


class FusedAdamW(AdamW):
    """AdamW; rounding differs from the stacked rule's in the last bits."""

    _calls: list[_Call] | None = None
    """Made at the first update, and anew where tensors moved: to slice them takes longer than a small update."""

    @torch.no_grad()
    def update(
        self, gradients: Mapping[str, Float[Tensor, "r ..."]], lr: Float[Tensor, "r"], *, masked: bool = True
    ) -> None:
        """As the stacked rule; a member of learning rate 0 keeps every bit, of its moments too."""
        if self._moving is not None or (self.flat.is_cuda and self.flat.dtype != torch.float32):
            super().update(gradients, lr, masked=masked)
            return
        self._decay.grow_embeddings(lr)
        for counter, beta in zip(("beta1_power", "beta2_power"), self._betas, strict=True):
            self.get_buffer(counter).mul_(beta)
        steps = self._steps()
        frozen = (lr == 0).float() if masked else None
        if self._calls is None:
            self._calls = list(self._made_calls())
        for r, names, parameters, first, second, decay in self._calls:
            torch._fused_adamw_(  # pyright: ignore[reportPrivateImportUsage]
                parameters,
                [_of_member(gradients[name], r).contiguous() for name in names],
                first,
                second,
                [],
                [steps[r]] * len(names),
                lr=lr[r] if lr.is_cuda else lr[r].item(),
                beta1=self._betas[0],
                beta2=self._betas[1],
                weight_decay=decay,
                eps=self._eps,
                amsgrad=False,
                maximize=False,
                found_inf=None if frozen is None else frozen[r],
            )

    def spare(self, names: Collection[str]) -> None:
        super().spare(names)
        self._calls = None

    def _apply(self, *arguments, **options):
        self._calls = None
        return super()._apply(*arguments, **options)

    def _steps(self) -> Float[Tensor, "r"]:
        """How many steps were taken, this one included, from the larger of β₁ᵗ and β₂ᵗ.

        Infinite, and rightly so, once that underflows: no moment has a bias left.
        """
        beta, counter = max(zip(self._betas, ("beta1_power", "beta2_power"), strict=True))
        power = self.get_buffer(counter)
        return (power.log() / math.log(beta)).round().float() if beta else torch.full_like(power, math.inf).float()

    def _made_calls(self) -> Iterator[_Call]:
        decayed = [name for name in self.trained if name in self._decay.decoupled_from]
        spared = [name for name in self.trained if name not in self._decay.decoupled_from]
        parameters = {name: parameter.detach() for name, parameter in self.trained.items()}
        first, second = (self.layout.views(self.get_buffer(slot)) for slot in ("first_moment", "second_moment"))
        for r, strength in enumerate(self._decay.strengths):
            for names, decay in ((decayed, strength), (spared, 0.0)):
                own = [[_of_member(tensors[name], r) for name in names] for tensors in (parameters, first, second)]
                if names:
                    yield _Call(r, names, own[0], own[1], own[2], decay)


def _of_member(stacked: Float[Tensor, "r ..."], r: int) -> Tensor:
    """Member `r`'s part; of a pack of one the whole, without a view."""
    return stacked if len(stacked) == 1 else stacked[r]
