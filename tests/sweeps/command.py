"""The command `superdyn` as a user starts it, and what the folder of its sweep says meanwhile."""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SUPERDYN = Path(sys.executable).with_name("superdyn")
PATIENCE_SECONDS = 600.0


def statuses(folder: Path) -> list[dict[str, Any]]:
    """The `status.json` of all runs that have one."""
    return [json.loads(path.read_text()) for path in folder.glob("*/status.json")]


def n_in_training(folder: Path) -> int:
    """How many runs are past their first step."""
    return sum(status["state"] == "running" and status["step"] > 0 for status in statuses(folder))


def wait_until(condition: Callable[[], bool]) -> None:
    """Ask ten times a second."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
