"""The value laws of `values.py` as functions of tensors, by which a GPU draws values."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from superdyn.config import ConfigError
from superdyn.config.targets import described
from superdyn.features.sampler import SMALLEST
from superdyn.features.values import value_law

Quantile = Callable[[Tensor], Tensor]

QUANTILES: dict[str, Quantile] = {
    "uniform": lambda u: 2.0 * u,
    "constant": torch.ones_like,
    "half_normal": lambda u: -torch.special.ndtri(0.5 * (1.0 - u)),
    "signed": lambda u: math.sqrt(3.0) * (2.0 * u - 1.0),
}

_RTOL = 1e-9
"""How far the two functions of a user's law may be from each other, in float64; absolutely, of a typical value."""

_TRIED_AT = 4096
"""Points at which they are compared, besides the ends."""


@cache
def device_quantile(name: str) -> Quantile | None:
    """The quantile function of the law `data.value_law`; None where a law of the user's own has no `device_quantile`.

    The user's is tried here, and on a GPU where there is one.

    Raises:
        ConfigError: the law is none, or its two functions differ where they are compared.
    """
    if name in QUANTILES:
        return QUANTILES[name]
    law = value_law(name)
    found: Quantile | None = getattr(law, "device_quantile", None)
    if found is None:
        return None
    # Multiples of the golden ratio leave no gaps and fall on no grid.
    inside = np.arange(1, _TRIED_AT + 1) * (0.5 * (np.sqrt(5.0) - 1.0)) % 1.0
    u = np.concatenate([[SMALLEST], np.sort(inside), [1.0 - 2.0**-53]])
    expected = law.quantile(u)
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        _check(name, found, u, expected, device)
    return found


def _check(name: str, found: Quantile, u: np.ndarray, expected: np.ndarray, device: str) -> None:
    given = torch.from_numpy(u).to(device)
    try:
        values = found(given)
    except Exception as error:  # whatever the user's function raises
        raise ConfigError(f"data.value_law={name!r}: device_quantile(u) raised {described(error)}.") from error
    if not isinstance(values, Tensor) or (values.shape, values.dtype, values.device) != (
        given.shape, given.dtype, given.device,
    ):  # fmt: skip
        raise ConfigError(
            f"data.value_law={name!r}: device_quantile(u) must give a tensor of the shape, type and device of u."
        )
    here = values.cpu().numpy()
    wrong = ~np.isclose(here, expected, rtol=_RTOL, atol=_RTOL * np.median(np.abs(expected)))
    if wrong.any():
        at = int(wrong.argmax())
        raise ConfigError(
            f"data.value_law={name!r}: device_quantile({u[at]:.6g}) gives {here[at]:.6g}, and quantile(u) gives "
            f"{expected[at]:.6g}; the two must be the same function."
        )
