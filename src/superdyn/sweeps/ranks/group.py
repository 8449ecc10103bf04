"""One torchrun group on this machine: N ranks of `superdyn.sweeps.workers.worker` that train one task together.

`python -m superdyn.sweeps.ranks.group N TASK` is torchrun with an exit code that says what happened: 143 after SIGTERM,
130 after Ctrl-C, else that of the first rank that failed. Signals reach the ranks once, through torchrun. Nothing heavy
is imported, so that torchrun starts at once.
"""

import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from types import FrameType

WORKER = "superdyn.sweeps.workers.worker"

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""For the environment of workers: no file in the working directory may stand in for an installed package."""

DIED = 128
"""Exit codes above it mean a signal, as in a shell."""

TERMINATED = DIED + signal.SIGTERM
"""Exit code after SIGTERM; with Lightning's own 0 a scheduler would take a preempted job for a success."""

PATIENCE_SECONDS = "300"
"""How long torchrun lets ranks finish their chunk and save before it kills them; its own is 30."""


def group_command(n_ranks: int, arguments: Sequence[str]) -> list[str]:
    """The command that trains a task with `n_ranks` ranks on this machine."""
    return [sys.executable, "-m", "superdyn.sweeps.ranks.group", str(n_ranks), *arguments]


def worker_command(n_ranks: int, arguments: Sequence[str]) -> list[str]:
    """The command of a worker: one process, or a group of ranks."""
    return [sys.executable, "-m", WORKER, *arguments] if n_ranks == 1 else group_command(n_ranks, arguments)


def run_group(n_ranks: int, arguments: Sequence[str]) -> int:
    """Run `group_command` in the foreground, pass SIGTERM and Ctrl-C on, and return its exit code.

    Its standard input is a pipe, which closes when this process is killed.
    """
    # A session of its own: a terminal sends Ctrl-C to every process in its foreground, and ranks must hear of it once.
    process = subprocess.Popen(
        group_command(n_ranks, arguments),
        stdin=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, **SAFE_PATH},
    )

    def forward(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    before = {number: signal.signal(number, forward) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        code = process.wait()
        return code if code >= 0 else DIED - code
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        assert process.stdin is not None
        process.stdin.close()


def main(arguments: Sequence[str]) -> int:
    """torchrun on this machine alone, on free ports."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    n_ranks, *task = arguments
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", PATIENCE_SECONDS)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.disable(logging.ERROR)  # the ranks speak for themselves
    try:
        run(parse_args(["--standalone", "--nproc-per-node", n_ranks, "-m", WORKER, *task]))
    except SignalException as error:
        return DIED + error.sigval
    except ChildFailedError as error:
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else DIED - code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
