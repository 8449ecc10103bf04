"""The shifted power law with a floor, L(t) = L_inf + C (t + t0)^-α, in the coordinates the fits search.

Coordinates x = (α, log(1 + t0/t_first), L_inf/L_least, log A), with A = C (t_mid + t0)^-α the excess at the
geometric middle of the data: unlike C, A does not trade off against α. Each nested form frees t0, L_inf, both
or neither and keeps the rest at 0. Source of the form: science of scaling-law fits, e.g. arXiv 2001.08361
with an added shift. Axis legend: `m` curve (bootstrap replicate or window), `t` point, `c` coordinate.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float

from superdyn.analysis.curve import running_median

FORMS: dict[str, tuple[bool, bool, bool, bool]] = {
    "power": (True, False, False, True),
    "power+t0": (True, True, False, True),
    "power+floor": (True, False, True, True),
    "power+t0+floor": (True, True, True, True),
}
"""Which of the coordinates (α, t0, L_inf, A) each form searches."""

ALPHA_BOUNDS = (0.01, 10.0)
LEAST_SHARE = 1.5
"""The floor may be this multiple of the least (noisy) loss."""
LOG_AMPLITUDE_BOUNDS = (-60.0, 60.0)


@dataclass(frozen=True)
class Scales:
    """Fixed units of one curve: first, middle and last time, and the least loss."""

    t_first: float
    t_mid: float
    t_last: float
    loss: float

    @classmethod
    def of(cls, t: Float[np.ndarray, "t"], loss: Float[np.ndarray, "t"]) -> "Scales":
        """The units of a curve of positive times and losses."""
        return cls(float(t[0]), float(np.exp(np.log(t).mean())), float(t[-1]), float(without_dips(loss).min()))

    def coordinates(self, alpha: float, t0: float, floor: float, scale: float) -> Float[np.ndarray, "c"]:
        """(α, t0, L_inf, C) to search coordinates."""
        log_amplitude = np.log(scale / self.loss) - alpha * np.log(self.t_mid + t0)
        return np.array([alpha, np.log1p(t0 / self.t_first), floor / self.loss, log_amplitude])

    def parameters(self, x: Float[np.ndarray, "... c"]) -> Float[np.ndarray, "... c"]:
        """Search coordinates to (α, t0, L_inf, C)."""
        alpha, t0 = x[..., 0], self.t_first * np.expm1(x[..., 1])
        scale = self.loss * np.exp(x[..., 3] + alpha * np.log(self.t_mid + t0))
        return np.stack([alpha, t0, self.loss * x[..., 2], scale], axis=-1)

    def bounds(self, form: str) -> tuple[Float[np.ndarray, "c"], Float[np.ndarray, "c"]]:
        """Lower and upper bounds: t0 up to the last time, L_inf up to 1.5 times the least (noisy) loss, lone
        dips left out."""
        low = np.array([ALPHA_BOUNDS[0], 0.0, 0.0, LOG_AMPLITUDE_BOUNDS[0]])
        high = np.array([ALPHA_BOUNDS[1], np.log1p(self.t_last / self.t_first), LEAST_SHARE, LOG_AMPLITUDE_BOUNDS[1]])
        free = free_mask(form)
        return low[free], high[free]


def without_dips(loss: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t"]:
    """The losses, each at least its running median over five points divided by `LEAST_SHARE`.

    A lone low outlier would else be the ceiling of the floor and the one point that a relative misfit heeds.
    """
    return np.maximum(loss, running_median(loss) / LEAST_SHARE)


def log_model(
    t: Float[np.ndarray, "t"], x: Float[np.ndarray, "m c"], scales: Scales
) -> tuple[Float[np.ndarray, "m t"], Float[np.ndarray, "m t c"]]:
    """log of the model at coordinates `x` and its derivative by each coordinate."""
    alpha, shift, floor, amplitude = (x[:, i, None] for i in range(4))
    t0 = scales.t_first * np.expm1(shift)
    log_ratio = np.log((t + t0) / (scales.t_mid + t0))
    excess = np.exp(amplitude - alpha * log_ratio)
    total = floor + excess
    share = excess / total
    by_t0 = -alpha * share * (1.0 / (t + t0) - 1.0 / (scales.t_mid + t0))
    slopes = (-share * log_ratio, by_t0 * (scales.t_first + t0), 1.0 / total, share)
    return np.log(total) + np.log(scales.loss), np.stack(slopes, axis=-1)


def residuals(
    t: Float[np.ndarray, "t"],
    log_loss: Float[np.ndarray, "t"],
    weight: Float[np.ndarray, "t"],
    x: Float[np.ndarray, "c"],
    scales: Scales,
) -> tuple[Float[np.ndarray, "t"], Float[np.ndarray, "t c"]]:
    """Weighted log residuals (model − data) of one curve and their Jacobian."""
    value, slopes = log_model(t, x[None], scales)
    return weight * (value[0] - log_loss), weight[:, None] * slopes[0]


def free_mask(form: str) -> Bool[np.ndarray, "c"]:
    """Which coordinates the named form searches."""
    return np.array(FORMS[form])
