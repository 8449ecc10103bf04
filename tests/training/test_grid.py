"""The measurement grid: complete at both ends, never denser than asked, shared by short and long runs."""

from collections import Counter
from itertools import pairwise

import pytest

from superdyn.training.grid import measurement_steps

LENGTHS = [*range(1, 130), 999, 1000, 1001, 9990, 10_000, 123_456, 10**6, 10**7]
DENSITIES = [1, 2, 5, 24, 25, 49, 50]


@pytest.mark.parametrize("density", DENSITIES)
def test_steps_ascend_from_zero_to_the_last(density: int):
    for length in LENGTHS:
        steps = measurement_steps(length, density)
        assert (steps[0], steps[-1]) == (0, length)
        assert all(a < b for a, b in pairwise(steps))


@pytest.mark.parametrize("density", DENSITIES)
def test_no_decade_has_more_than_asked(density: int):
    for length in LENGTHS:
        digits = Counter(len(str(step)) for step in measurement_steps(length, density)[1:])
        assert max(digits.values()) <= density


def test_a_full_decade_has_as_many_as_asked():
    steps = measurement_steps(10_000, 25)
    assert sum(1000 <= step < 10_000 for step in steps) == 25


def test_early_steps_are_all_measured_and_shared_by_longer_runs():
    short, long = measurement_steps(1234, 25), measurement_steps(99_999, 25)
    assert short[:10] == list(range(10))
    assert short[:-1] == long[: len(short) - 1]
