"""Curves of several seeds as one line with a band: median and full range at each measured time.

With the handful of seeds that a sweep has, quantiles mean little, so the band is the range from the lowest to
the highest seed. Times are those of the longest run; a shorter one is interpolated in log t, and a time is
kept if at least half of the seeds reach it. Axis legend: `t` measurement, `s` seed.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from superdyn.report.style import MARKERS


@dataclass(frozen=True)
class Band:
    """Median, lowest and highest seed at each time."""

    time: Float[np.ndarray, "t"]
    middle: Float[np.ndarray, "t"]
    low: Float[np.ndarray, "t"]
    high: Float[np.ndarray, "t"]
    n_seeds: int


def seed_band(times: Sequence[np.ndarray], values: Sequence[np.ndarray]) -> Band:
    """The band of curves given by (t,) arrays of times > 0 and values; non-finite values count as missing."""
    grid = max(times, key=lambda time: time[-1] if time.size else -np.inf)
    stack = np.array([_resampled(grid, time, value) for time, value in zip(times, values, strict=True)])
    kept = np.isfinite(stack).sum(axis=0) * 2 >= len(stack)
    stack, grid = stack[:, kept], grid[kept]
    if not grid.size:
        return Band(grid, grid, grid, grid, len(stack))
    return Band(grid, np.nanmedian(stack, 0), np.nanmin(stack, 0), np.nanmax(stack, 0), len(stack))


def draw_band(axes: Axes, band: Band, colour: str, mark: str) -> None:
    """Median as a line with a few marks along it, range as a transparent band of the same colour."""
    if band.n_seeds > 1:
        axes.fill_between(band.time, band.low, band.high, color=colour, alpha=0.22, lw=0)
    # Marks evenly apart on the paper, each shape from a place of its own so that close lines do not hide them.
    start = 0.02 + 0.015 * MARKERS.index(mark)
    axes.plot(band.time, band.middle, color=colour, lw=1.6, marker=mark, ms=3.6, markevery=(start, 0.16))


def _resampled(grid: np.ndarray, time: np.ndarray, value: np.ndarray) -> np.ndarray:
    finite = np.isfinite(value)
    if not finite.any():
        return np.full(grid.shape, np.nan)
    return np.interp(np.log(grid), np.log(time[finite]), value[finite], left=np.nan, right=np.nan)
