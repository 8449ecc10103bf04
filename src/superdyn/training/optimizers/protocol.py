"""What every update rule of a pack shares: flat state, weight decay, frozen members.

θ_r ← θ_r − step_r for every run r, where a rule only says what `step` is. All arithmetic is elementwise
multiplication, addition, division and square root, `norms.py` and `models.product`, so that a member's bits
on the CPU are those of a pack of one; no fused multiply-add (lerp, addcmul, alpha=), whose use depends on
where a member lies in memory.
Axis legend: `r` run, `p` entries of all parameters of one member.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from superdyn.config import OptimizerConfig
from superdyn.training.optimizers.decay import WeightDecay
from superdyn.training.optimizers.layout import Layout
from superdyn.training.sharding import UNSHARDED, Sharding

_INTEGERS = {torch.float32: torch.int32, torch.float64: torch.int64}
"""The integer type as wide as each precision, for masking bits."""


class StackedOptimizer(nn.Module, ABC):
    """Updates the stacked parameters of a pack in place; a module, so that its state moves with the engine.

    Args:
        parameters: name to parameter (r, …), all of one dtype on one device; they become views of one flat tensor.
        configs: one per member, in order; they differ in learning rate, its schedule and weight decay only.
        sharding: of which the parameters are this rank's shards.
    """

    coupled_decay: bool
    """Whether positive weight decay joins the gradient (L2) or acts beside the rule (decoupled)."""

    def __init__(
        self,
        parameters: Mapping[str, Float[Tensor, "r ..."]],
        configs: Sequence[OptimizerConfig],
        sharding: Sharding = UNSHARDED,
    ):
        super().__init__()
        self.sharding = sharding
        self.trained = dict(parameters)
        self.layout = Layout(parameters)
        self.flat = self.layout.adopt(parameters)
        self._decay = WeightDecay(parameters, configs, coupled=self.coupled_decay, sharding=sharding)
        self._moving: Tensor | None = None
        self._slots: list[str] = []
        self._counters: list[str] = []

    @abstractmethod
    def _step(self, gradient: Float[Tensor, "r p"], lr: Float[Tensor, "r"]) -> Float[Tensor, "r p"]:
        """What is subtracted from the flat parameters; advances the state; `gradient` may be overwritten."""

    def hold_still(self, untrained: Mapping[str, Bool[Tensor, "r"]]) -> None:
        """From now on leave these parameters of these members as they are."""
        device = self.flat.device
        self._moving = torch.full_like(self.flat, -1, dtype=_INTEGERS[self.flat.dtype])
        for name, view in self.layout.views(self._moving).items():
            if name in untrained:
                view[untrained[name].to(device)] = 0
        self._decay.leave_out({name: members.to(device) for name, members in untrained.items()})

    def spare(self, names: Collection[str]) -> None:
        """From now on let these parameters of all members keep out of weight decay."""
        self._decay.spare(names)

    @property
    def state(self) -> dict[str, Float[Tensor, "r ..."]]:
        """Every tensor that a member needs to go on, run axis first, sharing memory with the optimizer."""
        slots = {f"{s}/{n}": v for s in self._slots for n, v in self.layout.views(self.get_buffer(s)).items()}
        return slots | {name: self.get_buffer(name) for name in self._counters}

    def entries(self) -> list[Tensor]:
        """The parameters and what is kept for each entry of them, flat."""
        return [self.flat, *(self.get_buffer(name) for name in self._slots)]

    def counters(self) -> list[Tensor]:
        """What is kept for each member."""
        return [self.get_buffer(name) for name in self._counters]

    def everything(self) -> list[Tensor]:
        """Every tensor that `update` changes."""
        return [*self.entries(), *self.counters()]

    @torch.no_grad()
    def update(
        self, gradients: Mapping[str, Float[Tensor, "r ..."]], lr: Float[Tensor, "r"], *, masked: bool = True
    ) -> None:
        """One optimizer step of every member, in place; a member of learning rate 0 keeps every bit.

        `masked` may be False where no member has learning rate 0, which saves a pass over the step.
        """
        gradient = self.layout.gather(gradients)
        if self._decay.coupled_to:
            self._decay.couple(self.layout.views(gradient))
        step = self._step(gradient, lr)
        if self._moving is not None:
            step.view(_INTEGERS[step.dtype]).bitwise_and_(self._moving)
        if masked:
            # A frozen member's momentum may hold inf or NaN, which no factor of 0 removes; masking bits does.
            bits = step.view(_INTEGERS[step.dtype])
            bits.bitwise_and_(-(lr != 0).to(bits.dtype).unsqueeze(1))
        self._decay.decouple(lr)
        self._decay.grow_embeddings(lr)
        self.flat.sub_(step)

    def _add_slot(self, name: str) -> None:
        """A zero of every parameter's shape, stored flat (r, p), reachable as `state["name/parameter"]`."""
        like = next(iter(self.trained.values()))
        self.register_buffer(name, like.new_zeros(like.shape[0], self.layout.size))
        self._slots.append(name)

    def _add_counter(self, name: str) -> None:
        """A float64 number per member, 1 at the start."""
        like = next(iter(self.trained.values()))
        self.register_buffer(name, like.new_ones(like.shape[0], dtype=torch.float64))
        self._counters.append(name)


def per_member(values: Float[Tensor, "r"], flat: Float[Tensor, "r p"]) -> Float[Tensor, "r 1"]:
    """One value per member, in the precision of `flat`, ready to multiply it."""
    return (values if values.dtype == flat.dtype else values.to(flat.dtype)).unsqueeze(1)
