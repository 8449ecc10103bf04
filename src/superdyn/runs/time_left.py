"""How long the rest of a pack takes: T = c·steps + d·measurements, c and d by least squares.

Measurements are log-spaced, so that they crowd the start, and one of a small language model takes as long as tens of
steps: the mean speed so far would promise many times what remains. What has passed is taken from one measurement to
the next, because a device works behind the host and only a measurement waits for it.
"""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np


class TimeLeft:
    """Seconds to the last step of a pack, from the intervals between its measurements.

    Args:
        measured: ascending steps at which the pack is measured, the last step of training among them.
        step: where this process begins.
        now: the clock, in seconds, at that moment.
    """

    def __init__(self, measured: Sequence[int], step: int, now: float):
        self._measured, self._step, self._now = measured, step, now
        self._begun = step, now
        self._steps: list[int] = []
        self._seconds: list[float] = []

    def measure(self, step: int, now: float) -> None:
        """A measurement at `step` has ended at `now`."""
        if step > self._step:
            self._steps.append(step - self._step)
            self._seconds.append(now - self._now)
        self._step, self._now = step, now

    def seconds(self, step: int, now: float) -> float | None:
        """Seconds from `step`, reached at `now`, to the end; None while nearly every step is measured."""
        ahead = self._measured[-1] - step
        if len(set(self._steps)) < 2:
            passed = step - self._begun[0]
            few_measured = passed > 2 * len(self._steps)
            return ahead * (now - self._begun[1]) / passed if few_measured else None
        a_step, a_measurement = self._costs()
        return a_step * ahead + a_measurement * (len(self._measured) - bisect_right(self._measured, step))

    def _costs(self) -> tuple[float, float]:
        """Seconds of a step and of a measurement, neither below zero."""
        steps, seconds = np.asarray(self._steps, float), np.asarray(self._seconds)
        a_step, a_measurement = np.linalg.lstsq(np.stack([steps, np.ones_like(steps)], 1), seconds, rcond=None)[0]
        if a_step < 0:
            return 0.0, float(seconds.mean())
        if a_measurement < 0:
            return float(seconds.sum() / steps.sum()), 0.0
        return float(a_step), float(a_measurement)
