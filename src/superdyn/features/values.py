"""Value laws: the distribution of v, the value of a feature that is active.

A law is known by its inverse distribution function, v = quantile(u), u uniform on (0, 1), and by its exact
E v and E v², from which all moments of the data follow. The default, uniform(0, 2), is that of Liu, Liu and
Gore 2025. Users name their own class as `package.module.Class`. Imports no torch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float64
from scipy.integrate import quad
from scipy.special import ndtri

from superdyn.config.targets import described, resolve_target


@runtime_checkable
class ValueLaw(Protocol):
    """What a value law provides; a user's class needs a constructor without arguments."""

    @property
    def mean(self) -> float:
        """E v, exact."""
        ...

    @property
    def second_moment(self) -> float:
        """E v², exact."""
        ...

    def quantile(self, u: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        """Inverse distribution function, element by element: u in (0, 1) to values, non-decreasing."""
        ...


@dataclass(frozen=True)
class Uniform:
    """Uniform on (0, 2): E v = 1, E v² = 4/3."""

    mean: float = 1.0
    second_moment: float = 4.0 / 3.0

    def quantile(self, u: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        return 2.0 * u


@dataclass(frozen=True)
class Constant:
    """Always 1."""

    mean: float = 1.0
    second_moment: float = 1.0

    def quantile(self, u: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        return np.ones_like(u)


@dataclass(frozen=True)
class HalfNormal:
    """|z| with z standard normal: E v = √(2/π), E v² = 1."""

    mean: float = math.sqrt(2.0 / math.pi)
    second_moment: float = 1.0

    def quantile(self, u: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        # The lower tail keeps full precision as u → 1, where (1 + u)/2 would round to 1 and give infinity.
        return -ndtri(0.5 * (1.0 - u))


@dataclass(frozen=True)
class Signed:
    """Uniform on (-√3, √3): E v = 0, E v² = 1, so the second-moment matrix of the data is diagonal."""

    mean: float = 0.0
    second_moment: float = 1.0

    def quantile(self, u: Float64[np.ndarray, "*shape"]) -> Float64[np.ndarray, "*shape"]:
        return math.sqrt(3.0) * (2.0 * u - 1.0)


VALUE_LAWS: dict[str, Callable[[], ValueLaw]] = {
    "uniform": Uniform,
    "constant": Constant,
    "half_normal": HalfNormal,
    "signed": Signed,
}
"""The laws known by name; the four keys are also what an error message lists as allowed."""

_DECLARED_RTOL = 1e-3
"""How far a user's declared moments may be from the integrals of quantile(u) and its square over (0, 1)."""


def value_law(name: str) -> ValueLaw:
    """The law with this name, or an instance of the user's class at this dotted path.

    Raises:
        ValueError: `data.value_law` names no known law and no allowed class that satisfies `ValueLaw`.
    """
    if name in VALUE_LAWS:
        return VALUE_LAWS[name]()
    if "." not in name and ":" not in name:
        raise ValueError(
            f"data.value_law={name!r}: allowed: {', '.join(VALUE_LAWS)}, or a class as 'package.module.Class'."
        )
    found = resolve_target("data.value_law", name)
    if not isinstance(found, type):
        raise ValueError(f"data.value_law={name!r}: must be a class with `mean`, `second_moment` and `quantile(u)`.")
    try:
        return _checked(found(), name)
    except ValueError:
        raise
    except Exception as error:  # whatever the user's class raises
        raise ValueError(f"data.value_law={name!r}: {described(error)}.") from error


def _checked(law: object, name: str) -> ValueLaw:
    """The user's law, once its attributes, its quantile and its declared moments are found consistent."""
    if not isinstance(law, ValueLaw):
        raise ValueError(f"data.value_law={name!r}: the class needs `mean`, `second_moment` and `quantile(u)`.")
    grid = np.linspace(0.0, 1.0, 102)[1:-1]
    values = np.asarray(law.quantile(grid))
    if values.shape != grid.shape or values.dtype != np.float64 or not np.isfinite(values).all():
        raise ValueError(f"data.value_law={name!r}: quantile(u) must give finite float64 values of the shape of u.")
    if (np.diff(values) < 0).any():
        raise ValueError(f"data.value_law={name!r}: quantile(u) must be non-decreasing in u.")
    for power, attribute in ((1, "mean"), (2, "second_moment")):
        declared, integral = float(getattr(law, attribute)), _integral(law, power)
        if not abs(declared - integral) <= _DECLARED_RTOL * math.sqrt(_integral(law, 2)) ** power:
            raise ValueError(
                f"data.value_law={name!r}: {attribute} is {declared:.6g}, "
                f"but the integral of quantile(u) gives {integral:.6g}."
            )
    return law


def _integral(law: ValueLaw, power: int) -> float:
    """E v^power as the integral of quantile(u)^power over (0, 1)."""

    def integrand(u: float) -> float:
        return float(law.quantile(np.array([u], dtype=np.float64))[0]) ** power

    # full_output keeps the integrator from warning about laws with atoms, which its accuracy suffices for.
    return float(quad(integrand, 0.0, 1.0, full_output=1)[0])
