"""`python -m superdyn.sweeps.workers.worker TASK.json`: the process in which an executor has packs trained.

It ends with one of the exit codes of `exit_codes.py`; whatever else means that the process died.
"""

import os
import signal
import sys
import threading
import warnings
from pathlib import Path

from superdyn.config import ConfigError
from superdyn.runs.faults import SweepStoppedError, fault_of
from superdyn.runs.progress import Progress
from superdyn.sweeps.exit_codes import DEVICE_FAULT, INTERRUPTED, STORAGE_FAULT, WRONG_INPUT
from superdyn.sweeps.in_process import InProcess
from superdyn.sweeps.outcome import outcome_of
from superdyn.sweeps.ranks.admission import check_start
from superdyn.sweeps.ranks.group import PARENT_ON_STDIN
from superdyn.sweeps.ranks.place import place
from superdyn.sweeps.ranks.process_group import joined
from superdyn.sweeps.train_pack import dismiss_followers, follow_packs
from superdyn.sweeps.workers.attended import note_first_rank
from superdyn.sweeps.workers.task import Task


def main(arguments: list[str]) -> int:
    """Train the points of a task; with `--end-with-parent` stop, as on SIGTERM, when standard input closes."""
    warnings.formatwarning = lambda message, category, *_: f"{category.__name__}: {message}\n"
    sys.path.append(os.getcwd())  # where a user's package usually lies; last, as in the command line
    if PARENT_ON_STDIN in arguments:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    task = Path(arguments[0])
    here = place()
    if here is not None and here.rank == 0:
        note_first_rank(task)
    return run_task(Task.read(task))


def run_task(task: Task) -> int:
    """Train the points of a task in this process; returns the exit code that says how it went.

    One of several ranks either leads or follows.
    """
    launch = task.launch()
    configs = [point.config for point in launch.points]
    try:
        check_start(configs)
        with joined(configs, launch.sweep_dir) as ranks:
            if not ranks.is_first:
                follow_packs()
                return 0
            InProcess(launch, Progress(None)).run(launch.points)
            dismiss_followers()
    except ConfigError as error:
        print(f"superdyn: {error}", flush=True)
        return WRONG_INPUT
    except KeyboardInterrupt:
        return INTERRUPTED
    except SweepStoppedError as error:
        print(error, flush=True)
        return STORAGE_FAULT if fault_of(error) == "storage" else DEVICE_FAULT
    outcome = outcome_of(launch.points, launch.sweep_dir, skipped=0)
    if place() is None:  # a group of ranks speaks to the user, whose own command sums up
        print(outcome.summary(), flush=True)
    return outcome.exit_code


def _end_with_parent() -> None:
    # A killed parent says nothing, but the pipe that it held closes. Python's own reader would hold a lock at exit.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
