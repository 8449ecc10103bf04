"""How low a loss can fall in float32: steps below half a rounding of the parameter are lost."""

import numpy as np
import pytest

from superdyn.config import RunConfig
from superdyn.features.moments import data_moments

CHANNELS = {
    "loss": "population", "model__name": "no_superposition", "model__encoder_init": "identity", "model__width": 32,
    "model__train_encoder": False, "model__activation": "linear", "model__core_init_scale": 0.0,
    "data__value_law": "signed", "data__importance_exponent": 0.0, "optimizer__lr": 1.0, "trainer__max_steps": 8000,
    "trainer__chunk_steps": 1000,
}  # fmt: skip


def floor(config: RunConfig) -> np.ndarray:
    """ε² A²/(8 η² λ_i): gradient descent on channel i stalls once η λ_i |A − s| is half a rounding of s ≈ A = 1."""
    spacing = float(np.spacing(np.float32(0.5)))
    return (0.5 * spacing / config.optimizer.lr) ** 2 / (2 * data_moments(config.data).variance)


@pytest.mark.parametrize("exponent", [1.2, 1.5])
def test_float32_stalls_at_the_predicted_floor_and_float64_does_not(exponent, make_config, train_together):
    losses = {}
    for precision in ("32-true", "64-true"):
        config = make_config(**CHANNELS, data__data_exponent=exponent, trainer__precision=precision)
        (folder,) = train_together([config], precision)
        losses[precision] = folder.spectrum()[1]
    measured, predicted = losses["32-true"][-1], floor(config)
    rare = slice(4, None)  # where the floor is far above the rounding of the residual itself
    assert (losses["64-true"][-1][rare] < 0.5 * predicted[rare]).all()
    ratio = measured[rare] / predicted[rare]
    assert ratio.min() > 0.2
    assert ratio.max() < 5
