"""Learning-rate time of the revisions, τ(t) = Σ_{s<t} η_s, from a CSV file with the columns `step` and `lr`.

Between the listed steps the learning rate is interpolated linearly, beyond them it stays. Without a file η is taken as
1, so that τ is the step.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

_COLUMNS = ("step", "lr")


def lr_times(steps: Sequence[int], file: Path | None) -> dict[int, float]:
    """τ of each step.

    Raises:
        ValueError: the file is missing or lacks the two columns of numbers.
    """
    if file is None:
        return {step: float(step) for step in steps}
    schedule = _read(file)
    rates = np.interp(np.arange(max(steps)), schedule["step"], schedule["lr"])
    times = np.concatenate([[0.0], np.cumsum(rates)])
    return {step: float(times[step]) for step in steps}


def _read(file: Path) -> pd.DataFrame:
    wanted = "a CSV file with the columns step and lr, steps ascending, is needed"
    if not file.is_file():
        raise ValueError(f"--lr-schedule={file}: no such file; {wanted}.")
    try:
        frame = pd.read_csv(file)
        steps, rates = (frame[column].to_numpy(np.float64) for column in _COLUMNS)
    except (KeyError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise ValueError(f"--lr-schedule={file}: {' '.join(str(error).split())}; {wanted}.") from None
    if not len(frame) or not np.isfinite([steps, rates]).all() or (np.diff(steps) <= 0).any() or (rates < 0).any():
        raise ValueError(f"--lr-schedule={file}: has an invalid step or learning rate; {wanted}.")
    return frame
