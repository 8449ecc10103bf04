"""The time that a pack still takes, told from steps and measurements of different cost."""

import pytest

from superdyn.runs.time_left import TimeLeft
from superdyn.training.grid import measurement_steps

STEP, MEASUREMENT = 0.01, 1.0


def clock(measured: list[int], step: int) -> float:
    """Seconds at the end of a measured step of a pack that began at step 0, where it had been measured."""
    return STEP * step + MEASUREMENT * measured.index(step)


@pytest.mark.parametrize("start", [0, 40])
def test_what_is_left_counts_steps_and_measurements_at_their_own_cost(start):
    measured = measurement_steps(1000, 25)
    begun = max(s for s in measured if s <= start)
    left = TimeLeft(measured, begun, clock(measured, begun))
    passed = [step for step in measured if begun < step <= 100]
    for step in passed:
        left.measure(step, clock(measured, step))
    assert left.seconds(passed[-1], 0.0) == pytest.approx(clock(measured, 1000) - clock(measured, passed[-1]))
    between = passed[-1] + 3
    assert left.seconds(between, 0.0) == pytest.approx(left.seconds(passed[-1], 0.0) - 3 * STEP)  # pyright: ignore[reportOptionalOperand]


def test_nothing_is_promised_while_every_interval_is_one_step():
    left = TimeLeft(measurement_steps(1000, 25), 0, 0.0)
    for step in range(1, 6):
        left.measure(step, step * (STEP + MEASUREMENT))
        assert left.seconds(step, step * (STEP + MEASUREMENT)) is None


def test_a_fit_below_zero_falls_back_to_what_was_spent():
    left = TimeLeft(measurement_steps(100, 5), 0, 0.0)
    left.measure(1, 5.0)  # the first interval holds what is made once, such as compiled kernels
    left.measure(3, 5.1)
    assert left.seconds(3, 5.1) == pytest.approx(2.55 * sum(step > 3 for step in measurement_steps(100, 5)))


def test_a_resumed_run_far_from_its_next_measurement_has_its_mean_speed():
    left = TimeLeft(measurement_steps(100_000, 25), 80_000, 10.0)
    assert left.seconds(82_000, 20.0) == pytest.approx(18_000 * 10 / 2_000)
