"""Rounded operands: what they are, and that they leave the measured exponent where it is."""

import numpy as np
import pytest
import torch

from superdyn.analysis import fit_power_law
from superdyn.models.product import matmul_operands, multiply

SEEDS = 5


def test_operands_are_rounded_and_the_setting_ends_with_the_block():
    a = torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(0))
    identity = torch.eye(32)[None]
    for kind, bits in (("tf32", 11), ("bf16", 8)):
        with matmul_operands(kind):
            error = ((multiply(a, identity) - a) / a).abs().max()
        assert 2.0 ** -(bits + 2) < error <= 2.0**-bits
    assert torch.equal(multiply(a, identity), a)


@pytest.mark.filterwarnings("ignore:trainer.matmul=(tf32|bf16). a CPU multiplies:UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("exponents", [(1.5, 0.0), (1.1, 1.0)], ids=str)
@pytest.mark.parametrize("kind", ["tf32", "bf16"])
def test_the_exponent_is_that_of_float32(kind, exponents, make_config, train_together):
    """Long-window exponents of the same seeds and data: their mean difference is within its own standard error × 3,
    and within 0.02."""
    a, b = exponents
    changes = {
        "data__n_features": 64, "model__width": 32, "data__data_exponent": a, "data__importance_exponent": b,
        "data__batch_size": 64, "data__eval_size": 8192, "optimizer__lr": 0.5, "trainer__max_steps": 10_000,
        "trainer__chunk_steps": 64,
    }  # fmt: skip
    found = {}
    for matmul in ("float32", kind):
        folders = train_together([make_config(seed=s, trainer__matmul=matmul, **changes) for s in range(SEEDS)], matmul)
        curves = [folder.curve() for folder in folders]
        found[matmul] = np.array([fit_power_law(c["step"], c["loss"], n_boot=50).alpha_long for c in curves])
    difference = found[kind] - found["float32"]
    assert np.isfinite(difference).all()
    assert abs(difference.mean()) < 0.02
    assert abs(difference.mean()) < 3 * max(difference.std(ddof=1) / SEEDS**0.5, 1e-3)
