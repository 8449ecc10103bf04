"""Learning rate of every optimizer step, and learning-rate time τ = Σ_s η_s, the time of a scheduled run.

η_s = lr · min(1, (s+1)/w) · shape(s − w), w = warmup_fraction · max_steps, with shape 1 (constant), a half
cosine from 1 to final_fraction (Loshchilov & Hutter 2017), or (1 + s/decay_start)^−decay_power (inverse
power).
Axis legend: `t` step.
"""

import numpy as np
from jaxtyping import Float

from superdyn.config import OptimizerConfig


def learning_rates(config: OptimizerConfig, max_steps: int) -> Float[np.ndarray, "t"]:
    """η of steps 0 … max_steps − 1, float64; the schedule proper starts after the linear warmup to `lr`."""
    step = np.arange(max_steps, dtype=np.float64)
    warmup = round(config.warmup_fraction * max_steps)
    ramp = np.minimum(1.0, (step + 1) / max(warmup, 1))
    since_warmup = np.maximum(0.0, step - warmup)
    return config.lr * ramp * _shape(config, since_warmup, max_steps - warmup)


def _shape(config: OptimizerConfig, step: Float[np.ndarray, "t"], n_steps: int) -> Float[np.ndarray, "t"]:
    """η/lr after the warmup; the cosine reaches `final_fraction` after the last step, as torch's at T_max."""
    if config.schedule == "cosine":
        half_cosine = 0.5 * (1 + np.cos(np.pi * step / max(n_steps, 1)))
        return config.final_fraction + (1 - config.final_fraction) * half_cosine
    if config.schedule == "inverse_power":
        return (1 + step / config.decay_start) ** -config.decay_power
    return np.ones_like(step)


def lr_time(rates: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t+1"]:
    """τ after 0, 1, …, max_steps steps: the sum of the learning rates used so far, 0 at the start."""
    return np.concatenate([[0.0], np.cumsum(rates)])
