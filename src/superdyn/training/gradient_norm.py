"""The norm of each member's gradient, clipping by it, and what a curve keeps of the last training step.

With `optimizer.clip_norm` = c the gradient is multiplied by min(1, c/‖g‖), ‖g‖ over all trained parameters of a run
(Pascanu et al. 2013), as torch.nn.utils.clip_grad_norm_ does; of several ranks it is the norm of the global batch's
gradient. A factor of 1 keeps every bit. Axis legend: `r` run.
"""

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.models.gradients import Gradients
from superdyn.models.total import member_sum
from superdyn.training.sharding import Sharding


def gradient_norm(gradients: Mapping[str, Float[Tensor, "r ..."]], sharding: Sharding) -> Float[Tensor, "r"]:
    """‖g‖ of each member over all parameters; its bits do not depend on the pack."""
    squares = [member_sum(torch.mul(g, g).flatten(1).contiguous()) for g in gradients.values()]
    return sharding.total(member_sum(torch.stack(squares, dim=1).contiguous())).sqrt()


class GradientWatch:
    """Clips gradients, and remembers loss and norm (before clipping) of the last step that was watched.

    Args:
        clip_norm: c; None clips nothing.
        records: whether loss and norm are recorded, as those of language models are.
    """

    def __init__(self, clip_norm: float | None, *, records: bool) -> None:
        self._clip_norm, self._records = clip_norm, records
        self._last: tuple[Tensor, Tensor] | None = None

    def look(self, found: Gradients, sharding: Sharding, *, last: bool) -> None:
        """Clip in place; `last`: a measurement may follow this step."""
        watched = last and self._records
        if self._clip_norm is None and not watched:
            return
        norm = gradient_norm(found.by_name, sharding)
        if watched:
            self._last = found.loss, norm
        if self._clip_norm is not None:
            factor = (self._clip_norm / (norm + 1e-6)).clamp(max=1.0)
            for gradient in found.by_name.values():
                gradient.mul_(factor.view(-1, *(1,) * (gradient.ndim - 1)))

    def recorded(self, like: Float[Tensor, "r n"]) -> dict[str, Float[Tensor, "r"]]:
        """Training loss and gradient norm of the last step by name; NaN before the first."""
        if not self._records:
            return {}
        unknown = torch.full_like(like[:, 0], torch.nan)
        return dict(zip(("train_loss", "grad_norm"), self._last or (unknown, unknown), strict=True))
