"""What runs in a ray task: a worker that is attended, and told to save when the task is cancelled.

A file of its own, since ray imports it on every node: it needs no torch.
"""

import os
from collections.abc import Mapping
from pathlib import Path

from superdyn.sweeps.exit_codes import INTERRUPTED
from superdyn.sweeps.workers.attended import attend


def train_unit(task: str, log: str, directory: str, environment: Mapping[str, str]) -> int:
    """Train the task in this file until it ends or ray cancels it; returns the worker's exit code, or 130."""
    os.chdir(directory)
    with open(log, "ab") as out:
        try:
            return attend(Path(task), lambda: False, environment, out)
        except KeyboardInterrupt:  # what a cancelled task gets; the worker has saved by now
            return INTERRUPTED
