"""The result of a power-law fit: the exponents with their intervals and everything a reader needs to judge
them.

L(t) = L_inf + C (t + t0)^-α, fitted to L − L_least where the least possible loss is known: α, C and t0 are then those
of the excess, and L_inf is still that of L. A number that could not be measured is NaN and `note` says why; in JSON it
is null.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from superdyn.analysis.excess import EXCESS, WHOLE

Interval = tuple[float | int, float | int]
NOTHING: Interval = (math.nan, math.nan)


@dataclass(frozen=True)
class PowerLawFit:
    """A fitted exponent; times are in the units of `t`, intervals are 95 %."""

    alpha: float
    """Exponent of the best nested form in `window`."""
    alpha_ci: Interval
    """From a bootstrap with autocorrelated noise that repeats the choice of form."""
    alpha_windows: Interval
    """Least and largest α of the same form when the window is trimmed by up to half a decade at either
    end."""
    L_inf: float
    """What the loss tends to: L_least plus what is fitted on top of it, where L_least is known."""
    C: float
    t0: float
    window: Interval
    alpha_long: float
    """Straight-line slope of log L, or of log(L − L_least), on log t over `long_window`: from the end of the first
    plateau to the floor or end."""
    alpha_long_ci: Interval
    long_window: Interval
    flat: bool
    """Whether a strict exponent may be claimed: the local slope varies by less than 0.1 over at least a
    decade."""
    flat_decades: float
    flat_window: Interval
    alpha_strict: float | None
    """Straight-line slope over `flat_window`; None unless `flat`."""
    alpha_strict_ci: Interval | None
    n_points: int
    note: str = ""
    method: dict[str, Any] = field(default_factory=dict)
    least_loss: float | None = None
    """L_least, which was subtracted; None where it is not known and L itself was fitted."""

    @property
    def fitted(self) -> str:
        """What the exponents are of."""
        return WHOLE if self.least_loss is None else EXCESS

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; NaN becomes None, an interval a list of two; `fitted` says what the exponents are of."""
        return {"fitted": self.fitted} | {key: _plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "PowerLawFit":
        """The inverse of `to_dict`, also of results from before `least_loss` was known, which are of L itself; keys of
        other tables (half-times, null) beside the fit's are ignored."""
        restored = {key: content[key] for key in cls.__dataclass_fields__ if key != "least_loss"}
        restored["least_loss"] = content.get("least_loss")
        for key in ("alpha", "L_inf", "C", "t0", "alpha_long", "flat_decades"):
            restored[key] = _number(content[key])
        for key in ("alpha_ci", "alpha_windows", "window", "alpha_long_ci", "long_window", "flat_window"):
            restored[key] = _interval(content[key])
        if content["alpha_strict"] is not None:
            restored["alpha_strict_ci"] = _interval(content["alpha_strict_ci"])
        return cls(**restored)


def no_fit(note: str, n_points: int, method: dict[str, Any], least: float | None = None) -> PowerLawFit:
    """The result when the curve holds no stretch that could be fitted; `note` is one sentence."""
    nan = math.nan
    return PowerLawFit(
        alpha=nan,
        alpha_ci=NOTHING,
        alpha_windows=NOTHING,
        L_inf=nan,
        C=nan,
        t0=nan,
        window=NOTHING,
        alpha_long=nan,
        alpha_long_ci=NOTHING,
        long_window=NOTHING,
        flat=False,
        flat_decades=0.0,
        flat_window=NOTHING,
        alpha_strict=None,
        alpha_strict_ci=None,
        n_points=n_points,
        note=note,
        method=method,
        least_loss=least,
    )


def finite_or_none(value: float) -> float | None:
    """A number for JSON, which has neither NaN nor infinity."""
    return float(value) if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return finite_or_none(value) if isinstance(value, float) else value


def _number(value: float | int | None) -> float:
    return math.nan if value is None else float(value)


def _interval(ends: Sequence[float | None]) -> Interval:
    low, high = ends
    return _number(low), _number(high)
