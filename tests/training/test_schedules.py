"""Schedules against torch's schedulers and against their formulas."""

from typing import Any

import numpy as np
import pytest
import torch

from superdyn.config import OptimizerConfig
from superdyn.training.schedules import learning_rates, lr_time, stable_phase


def config(**options: Any) -> OptimizerConfig:
    return OptimizerConfig(name="sgd", lr=0.5, **options)


def test_constant_is_the_learning_rate_at_every_step():
    rates = learning_rates(config(), 7)
    assert rates.dtype == np.float64
    np.testing.assert_array_equal(rates, np.full(7, 0.5))


@pytest.mark.parametrize("final", [0.0, 0.05])
def test_cosine_follows_torch(final: float):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=40, eta_min=0.5 * final)
    expected = []
    for _ in range(40):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    rates = learning_rates(config(schedule="cosine", final_fraction=final), 40)
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


@pytest.mark.parametrize("schedule", ["constant", "cosine", "inverse_power"])
def test_warmup_is_linear_and_the_schedule_starts_after_it(schedule: str):
    warm = learning_rates(config(schedule=schedule, warmup_fraction=0.25), 40)
    cold = learning_rates(config(schedule=schedule), 30)
    np.testing.assert_allclose(warm[:10], 0.5 * np.arange(1, 11) / 10, rtol=1e-15)
    np.testing.assert_array_equal(warm[10:], cold)


@pytest.mark.parametrize("final", [0.0, 0.1])
def test_wsd_follows_torch(final: float):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.5)
    phases = torch.optim.lr_scheduler
    warmup = phases.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    stable = phases.ConstantLR(optimizer, factor=1.0, total_iters=0)
    decay = phases.LinearLR(optimizer, start_factor=1.0, end_factor=final, total_iters=12)
    scheduler = phases.SequentialLR(optimizer, [warmup, stable, decay], milestones=[3, 28])
    expected = []
    for _ in range(40):
        expected.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    wsd = config(schedule="wsd", warmup_fraction=0.1, decay_fraction=0.3, final_fraction=final)
    np.testing.assert_allclose(learning_rates(wsd, 40), expected, rtol=1e-12, atol=1e-15)


def test_wsd_decays_as_one_minus_the_root_where_asked():
    wsd = config(schedule="wsd", decay_fraction=0.25, decay_type="1-sqrt", final_fraction=0.2)
    rates = learning_rates(wsd, 400)
    np.testing.assert_array_equal(rates[:301], 0.5)
    np.testing.assert_allclose(rates[325], 0.5 * (0.2 + 0.8 * (1 - np.sqrt(0.25))), rtol=1e-15)


@pytest.mark.parametrize(("warmup", "decay", "expected"), [(0.5, 0.5, (4, 4)), (0.0, 0.0, (0, 7)), (0.0, 1.0, (0, 0))])
def test_the_stable_phase_of_wsd_lies_between_warmup_and_decay(warmup: float, decay: float, expected: tuple[int, int]):
    assert stable_phase(warmup, decay, 7) == expected
    rates = learning_rates(config(schedule="wsd", warmup_fraction=warmup, decay_fraction=decay), 7)
    assert rates.min() > 0
    assert rates.max() == 0.5


def test_inverse_power_falls_as_its_power():
    rates = learning_rates(config(schedule="inverse_power", decay_power=0.5, decay_start=3.0), 1000)
    assert rates[0] == 0.5
    np.testing.assert_allclose(rates[9], 0.5 / np.sqrt(1 + 9 / 3.0), rtol=1e-15)


def test_a_warmup_as_long_as_the_run_only_rises():
    rates = learning_rates(config(schedule="cosine", warmup_fraction=1.0), 5)
    np.testing.assert_allclose(rates, [0.1, 0.2, 0.3, 0.4, 0.5], rtol=1e-15)


def test_lr_time_sums_the_steps_done():
    time = lr_time(learning_rates(config(), 4))
    np.testing.assert_array_equal(time, [0, 0.5, 1.0, 1.5, 2.0])
