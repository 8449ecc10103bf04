"""What is recorded at a measurement step, for every member of a pack, on the host.

Axis legend: `r` run, `n` feature.
"""

from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True)
class Measurement:
    """One row of every member's curve and spectrum.

    Attributes:
        step: optimizer steps done; 0 is the initial state.
        lr_time: τ = Σ η over the steps done.
        lr: η of the last step; at step 0 that of the first.
        loss: L, summed over features.
        feature_loss: ℓ_i, with Σ_i ℓ_i = L.
        measures: superposition measures by name, and what is known of the least possible loss.
        feature_measures: the user's own measures that have a value for every feature, by name.
        diverged_at: the step at which a member's loss was first not finite, −1 while it is alive.
    """

    step: int
    lr_time: Float[np.ndarray, "r"]
    lr: Float[np.ndarray, "r"]
    loss: Float[np.ndarray, "r"]
    feature_loss: Float[np.ndarray, "r n"]
    measures: dict[str, Float[np.ndarray, "r"]]
    diverged_at: Int[np.ndarray, "r"]
    feature_measures: dict[str, Float[np.ndarray, "r n"]] = field(default_factory=dict)
