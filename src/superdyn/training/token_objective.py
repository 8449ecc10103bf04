"""What a pack of language models minimises: the mean loss of the next token, by autograd, whole or in microbatches.

With `trainer.accumulate` = n the gradient is the mean of those of n equal parts of the batch, which is the whole
batch's to rounding. With bf16-mixed the operands of products are rounded to bfloat16 (torch.autocast); parameters,
norms, losses and gradients stay in float32. Sharded parameters get the shards of the global batch's gradient from the
hooks of `fully_sharded.py`, of every part anew, so that no whole gradient is kept for the next part.
Axis legend: `r` run, `s` sample, `t` position.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.features.tokens.batch import TokenBatch
from superdyn.models.decoder.losses import LossKind, TokenLoss
from superdyn.models.gradients import Gradients
from superdyn.training.sharding import local


class TokenModel(Protocol):
    """What a student must offer to train on tokens."""

    def loss(self, tokens: Int[Tensor, "r s t"], targets: Int[Tensor, "r s t"], kind: LossKind) -> TokenLoss: ...


class TokenObjective(nn.Module):
    """Gradients of every member of a pack on its own tokens.

    Attributes:
        sharded: whether the parameters are.
    """

    population = None
    sharded = False

    def __init__(self, configs: Sequence[RunConfig]):
        super().__init__()
        trainer = configs[0].trainer
        self.kind: LossKind = cast(LossKind, configs[0].loss)
        self._parts, self._rounded = trainer.accumulate, trainer.precision == "bf16-mixed"
        self._known: tuple[nn.Module, dict[str, Tensor]] | None = None

    def gradients(self, student: nn.Module, batch: TokenBatch) -> Gradients:
        """Loss of each member and its gradients."""
        trained = self._trained(student)
        parts = (self._part(student, trained, micro) for micro in _microbatches(batch, self._parts))
        total = next(parts)
        sums = [total.loss, *total.by_name.values()]
        for part in parts:
            torch._foreach_add_(sums, [part.loss, *part.by_name.values()])  # pyright: ignore[reportPrivateImportUsage]
        if self._parts > 1:
            torch._foreach_div_(sums, self._parts)  # pyright: ignore[reportPrivateImportUsage]
        return total

    def loss(self, student: nn.Module, batch: TokenBatch) -> TokenLoss:
        """The losses of every member's tokens."""
        model = cast(TokenModel, student)
        with torch.autocast(batch.inputs.device.type, torch.bfloat16, enabled=self._rounded):
            return model.loss(batch.inputs, batch.targets, self.kind)

    def _trained(self, student: nn.Module) -> dict[str, Tensor]:
        """Its parameters by name, looked up once unless they are sharded: gathering replaces them."""
        if self.sharded or self._known is None or self._known[0] is not student:
            self._known = student, {name: p for name, p in student.named_parameters() if p.requires_grad}
        return self._known[1]

    def _part(self, student: nn.Module, trained: Mapping[str, Tensor], batch: TokenBatch) -> Gradients:
        loss: Float[Tensor, "r"] = self.loss(student, batch).mean
        if self.sharded:
            loss.sum().backward()
            gradients = [_taken_gradient(parameter) for parameter in trained.values()]
        else:
            gradients = torch.autograd.grad(loss.sum(), list(trained.values()))
        return Gradients(loss.detach().clone(), dict(zip(trained, gradients, strict=True)))


def _taken_gradient(parameter: Tensor) -> Tensor:
    """This rank's shard, which is no longer added to."""
    gradient, parameter.grad = parameter.grad, None
    assert gradient is not None, "every parameter has part in the loss"
    return local(gradient)


def _microbatches(batch: TokenBatch, parts: int) -> Iterator[TokenBatch]:
    if parts == 1:
        yield batch
        return
    yield from map(TokenBatch, batch.inputs.chunk(parts, dim=1), batch.targets.chunk(parts, dim=1))
