"""The closed form of gradient flow against theory, against small steps and as a filler of sweeps."""

import numpy as np
import pytest

from superdyn.config import ConfigError
from superdyn.theory import frozen_embedding_loss, spectral_loss
from superdyn.training.flow import FlowEngine

FLOW = {
    "solver": "gradient_flow", "loss": "population", "model__train_encoder": False, "model__activation": "linear",
    "model__core_init_scale": 0.0, "optimizer__lr": 1.0, "trainer__max_steps": 100_000,
}  # fmt: skip
IDENTITY = {"model__encoder_init": "identity", "model__width": 32, "model__name": "no_superposition"}
ODD = IDENTITY | {"data__n_features": 29, "model__width": 29}


def test_it_is_the_spectral_sum_without_superposition(make_config, train_together):
    config = make_config(**FLOW, **IDENTITY, data__value_law="signed", data__data_exponent=1.5)
    (folder,) = train_together([config])
    steps, measured = folder.spectrum()
    exact = spectral_loss(
        steps, n_features=32, data_exponent=1.5, importance_exponent=0.5, lr=1.0, dynamics="gradient_flow",
        per_feature=True,
    )  # fmt: skip
    # The residual A − s carries the rounding of s, as in test_exact_training.
    visible = exact > exact[0] * (20 * np.finfo(np.float64).eps / 1e-6) ** 2
    assert visible.mean() > 0.5
    np.testing.assert_allclose(measured[visible], exact[visible], rtol=1e-6)
    assert (folder.status().state, folder.status().step) == ("done", 100_000)


def test_it_is_the_solved_frozen_embedding(make_config, train_together):
    config = make_config(**FLOW, data__value_law="signed")
    (folder,) = train_together([config])
    encoder = FlowEngine([config]).student.get_buffer("encoder")[0].numpy()
    curve = folder.curve()
    exact = frozen_embedding_loss(
        curve["lr_time"], encoder, data_exponent=1.5, importance_exponent=0.5, lr=1.0, value_second_moment=1.0
    )
    np.testing.assert_allclose(curve["loss"], exact, rtol=1e-9)


@pytest.mark.parametrize("law", ["uniform", "constant", "half_normal", "signed"])
@pytest.mark.parametrize("shape", [IDENTITY, {"model__tied": False}, {"model__width": 5}], ids=["K=N", "untied", "K<N"])
def test_small_steps_converge_to_it_for_every_value_law(shape, law, make_config, train_together):
    """Euler's error is proportional to η: halving η halves the distance."""
    distances = []
    for refinement in (4, 8):
        steps = 50 * refinement
        changes = {**FLOW, **shape, "data__value_law": law, "model__core_init_scale": 0.5,
                   "optimizer__lr": 0.4 / refinement, "trainer__max_steps": steps, "trainer__precision": "64-true",
                   "optimizer__schedule": "cosine"}  # fmt: skip
        flow, euler = (make_config(**{**changes, "solver": solver}) for solver in ("gradient_flow", "steps"))
        ends = [train_together([config], f"{config.solver}-{steps}")[0].spectrum()[1][-1] for config in (flow, euler)]
        distances.append(np.abs(ends[0] - ends[1]).max() / ends[0].max())
    assert distances[0] < 0.1
    assert distances[1] / distances[0] == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("shape", [{}, {"data__n_features": 50, "model__width": 21, "model__tied": False}, ODD])
def test_a_member_has_the_bits_of_a_lone_run(shape, make_config, train_together):
    configs = [make_config(**{**FLOW, **shape}, seed=s, data__data_exponent=1 + s / 2) for s in range(4)]
    packed = train_together(configs, "packed")
    for config, folder in zip(configs, packed, strict=True):
        (solo,) = train_together([config], f"solo-{config.seed}")
        np.testing.assert_array_equal(folder.curve()["loss"], solo.curve()["loss"])
        np.testing.assert_array_equal(folder.spectrum()[1], solo.spectrum()[1])


@pytest.mark.parametrize(
    ("key", "value"),
    [("loss", "sampled"), ("model.train_encoder", True), ("model.core", "identity"), ("model.bias", True),
     ("optimizer.momentum", 0.9), ("optimizer.name", "adam"), ("optimizer.weight_decay", 0.1),
     ("trainer.matmul", "tf32")],
)  # fmt: skip
def test_what_has_no_closed_form_is_refused_with_the_key(key, value, make_config):
    with pytest.raises(ConfigError, match=rf"^solver=gradient_flow: the closed form needs {key}="):
        make_config(**{**FLOW, key.replace(".", "__"): value})
