"""Measures of the user's own, recorded beside the loss at every measurement step.

`trainer.measures` names functions `measure(student, configs) -> {name: tensor}`: a number per member (r,) goes to
`curve.parquet`, a value per feature (r, n) to `spectrum.parquet`, and both to W&B. Axis legend: `r` run, `n` feature.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from superdyn.config import ConfigError, RunConfig
from superdyn.config.targets import resolve_target

Measure = Callable[[nn.Module, Sequence[RunConfig]], Mapping[str, Tensor]]

RESERVED = ("step", "lr_time", "loss", "least_loss", "excess_error")


class OwnMeasures:
    """The functions that a configuration names, in order.

    Raises:
        ConfigError: one may not be named, cannot be imported or is no function.
    """

    def __init__(self, names: Sequence[str]):
        self._measures: dict[str, Measure] = {}
        for name in names:
            found = resolve_target("trainer.measures", name)
            if isinstance(found, type) or not callable(found):
                raise ConfigError(f"trainer.measures={name!r}: must be a function measure(student, configs).")
            self._measures[name] = cast(Measure, found)

    @property
    def functions(self) -> tuple[Measure, ...]:
        """The functions themselves."""
        return tuple(self._measures.values())

    @torch.no_grad()
    def __call__(
        self, student: nn.Module, configs: Sequence[RunConfig], shape: tuple[int, ...], taken: Collection[str] = ()
    ) -> dict[str, Float[Tensor, "r ..."]]:
        """What all of them give, by name.

        Args:
            shape: (r, n), that of the losses.
            taken: names that other measures have.

        Raises:
            ConfigError: a function gives anything but tensors (r,) or (r, n) under names of their own.
        """
        found: dict[str, Tensor] = {}
        for name, measure in self._measures.items():
            given = measure(student, configs)
            if not isinstance(given, Mapping):
                raise ConfigError(f"trainer.measures={name!r}: returned {_kind(given)}; allowed is a dict of tensors.")
            for key, value in given.items():
                _check_entry(name, key, value, shape, {*RESERVED, *taken, *found})
                found[key] = value.detach()
        return found


def _check_entry(measure: str, key: object, value: object, shape: tuple[int, ...], taken: Collection[str]) -> None:
    if not isinstance(key, str) or key in taken:
        raise ConfigError(
            f"trainer.measures={measure!r}: returns the name {key!r}; allowed is a text that is not in use yet."
        )
    if not isinstance(value, Tensor) or tuple(value.shape) not in (shape[:1], shape):
        raise ConfigError(
            f"trainer.measures={measure!r}: {key} is {_kind(value)}; allowed are tensors of shape {shape[:1]}, a "
            f"number per run, or {shape}, a value per run and feature."
        )


def _kind(value: object) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"of type {type(value).__name__}"
