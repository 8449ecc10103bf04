"""Learning rate of every optimizer step, and learning-rate time τ = Σ_s η_s, the time of a scheduled run.

η_s = lr · min(1, (s+1)/w) · shape(s − w), w = warmup_fraction · max_steps, with shape 1 (constant), a half
cosine from 1 to final_fraction (Loshchilov & Hutter 2017), (1 + s/decay_start)^−decay_power (inverse power), or
warmup-stable-decay: 1 until the last decay_fraction · max_steps steps, over which x goes from 0 to 1 and the shape from
1 to final_fraction, as 1 − x (linear) or 1 − √x (Hu et al. 2024, MiniCPM; Hägele et al. 2024).
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
    if config.schedule == "wsd":
        return config.lr * ramp * _decay(config, step, max_steps)
    return config.lr * ramp * _shape(config, since_warmup, max_steps - warmup)


def stable_phase(warmup_fraction: float, decay_fraction: float, max_steps: int) -> tuple[int, int]:
    """Steps between which a wsd keeps its learning rate: after the warmup, and before the decay.

    The decay is cut to what the warmup leaves where rounding makes them overlap."""
    warmup = round(warmup_fraction * max_steps)
    return warmup, max(warmup, max_steps - round(decay_fraction * max_steps))


def _shape(config: OptimizerConfig, step: Float[np.ndarray, "t"], n_steps: int) -> Float[np.ndarray, "t"]:
    """η/lr after the warmup; the cosine reaches `final_fraction` after the last step, as torch's at T_max."""
    if config.schedule == "cosine":
        half_cosine = 0.5 * (1 + np.cos(np.pi * step / max(n_steps, 1)))
        return config.final_fraction + (1 - config.final_fraction) * half_cosine
    if config.schedule == "inverse_power":
        return (1 + step / config.decay_start) ** -config.decay_power
    return np.ones_like(step)


def _decay(config: OptimizerConfig, step: Float[np.ndarray, "t"], max_steps: int) -> Float[np.ndarray, "t"]:
    """η/lr of a wsd after the warmup; it reaches `final_fraction` after the last step."""
    _, start = stable_phase(config.warmup_fraction, config.decay_fraction, max_steps)
    x = np.maximum(0.0, step - start) / max(max_steps - start, 1)
    left = 1 - np.sqrt(x) if config.decay_type == "1-sqrt" else 1 - x
    return config.final_fraction + (1 - config.final_fraction) * left


def lr_time(rates: Float[np.ndarray, "t"]) -> Float[np.ndarray, "t+1"]:
    """τ after 0, 1, …, max_steps steps: the sum of the learning rates used so far, 0 at the start."""
    return np.concatenate([[0.0], np.cumsum(rates)])
