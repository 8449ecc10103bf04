"""Estimated memory of transformers of a pack against the peak of whole trainings, each in a fresh process."""

import pytest
from small_transformer import TRANSFORMER
from training.test_token_memory import peak_bytes

from superdyn.sweeps.member_memory import member_bytes
from superdyn.training.memory import RUNTIME_BYTES

WIDE = {
    **TRANSFORMER, "model__decoder__n_layers": 4, "model__decoder__n_heads": 4, "model__decoder__context": 32,
    "data__length": 32, "data__n_features": 512, "model__width": 256, "data__batch_size": 64, "data__eval_size": 256,
    "optimizer__name": "adamw", "optimizer__lr": 1e-3, "trainer__max_steps": 3,
}  # fmt: skip
CASES = {
    "wide": {},
    "deep": {"model__width": 512, "data__n_features": 1024, "model__decoder__n_layers": 12, "data__batch_size": 8,
             "data__eval_size": 64},
    "long, few evaluated": {"data__length": 512, "model__decoder__context": 512, "data__batch_size": 8,
                            "data__eval_size": 32, "model__width": 128},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_estimate_is_near_what_a_whole_training_takes(case, make_config):
    config = make_config(**{**WIDE, **CASES[case]})
    taken = peak_bytes([config]) - peak_bytes([])
    assert 0.9 * taken < RUNTIME_BYTES + member_bytes(config) < 1.7 * taken
