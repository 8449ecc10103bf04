"""Steps at which a run is measured: log-spaced, so that every decade of training carries the same weight.

Steps round(10^(j/d)), j = 0, 1, …, for d points per decade: runs of different length share them. Step 0 and
the last step are always measured; a grid point less than one spacing before the last step gives way to it.
Checkpoints may have steps of their own, those of the public checkpoints of Pythia (Biderman et al. 2023).
"""

import math
from collections.abc import Sequence

import numpy as np


def measurement_steps(max_steps: int, points_per_decade: int) -> list[int]:
    """Ascending steps from 0 to `max_steps`, never more than `points_per_decade` in [10^k, 10^(k+1))."""
    spacings = math.floor(points_per_decade * math.log10(max_steps))
    log_spaced = np.round(np.logspace(0, spacings / points_per_decade, spacings + 1))[:-1]
    return sorted({0, *(int(step) for step in log_spaced), max_steps})


def checkpoint_grid(max_steps: int, schedule: str) -> Sequence[int]:
    """Steps whose checkpoints are kept: none for `latest`; 0, 1, 2, 4, …, 512, 1000, 2000, … for `public`."""
    if schedule == "latest":
        return ()
    steps = [0, *(2**i for i in range(10)), *range(1000, max_steps + 1, 1000)]
    return [step for step in steps if step <= max_steps]
