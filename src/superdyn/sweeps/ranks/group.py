"""Starts `superdyn.sweeps.workers.worker`: one process, or a torchrun group of N ranks on each of its machines.

`python -m superdyn.sweeps.ranks.group` is torchrun, options included, with an exit code that says what happened: 143
after SIGTERM, 130 after Ctrl-C, else that of the first rank that failed. Signals reach the ranks once, through
torchrun. Nothing heavy is imported, so that torchrun starts at once.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from superdyn.sweeps.exit_codes import DIED, exit_code
from superdyn.sweeps.ranks.keep_alive import keep_noticing_lost_machines

WORKER = "superdyn.sweeps.workers.worker"

PARENT_ON_STDIN = "--end-with-parent"
"""For the command of a worker: it stops, as on SIGTERM, when the pipe that is its standard input closes."""

PATIENCE_SECONDS = "300"
"""How long torchrun lets ranks finish their chunk and save before it kills them; its own is 30."""


@dataclass(frozen=True)
class Node:
    """One machine of a group over several; the fields are torchrun's options, the master is the first of them."""

    node_rank: int
    nnodes: int
    master_addr: str
    master_port: int


def start_worker(
    task: Path,
    n_ranks: int,
    environment: Mapping[str, str],
    *,
    node: Node | None = None,
    log: IO[bytes] | None = None,
    own_session: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start a worker, or a group of ranks, that trains a task; its standard input is a pipe, at whose end it stops.

    Args:
        task: file of a `Task`.
        n_ranks: ranks on this machine.
        environment: set for the worker on top of this process's own.
        node: this machine, where the group is one over several.
        log: where the worker writes; None for where this process does.
        own_session: a terminal sends Ctrl-C to every process in its foreground; the worker is then none of them.
    """
    command = ["-m", WORKER, str(task), PARENT_ON_STDIN]
    if n_ranks > 1 or node is not None:
        options = ["--standalone"]
        if node is not None:
            options = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(node).items()]
        command = ["-m", "superdyn.sweeps.ranks.group", *options, f"--nproc-per-node={n_ranks}", *command]
    return subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=None if log is None else subprocess.STDOUT,
        # No file in the working directory may stand in for an installed package.
        env={**os.environ, "PYTHONSAFEPATH": "1", **environment},
        start_new_session=own_session,
    )


def main(arguments: Sequence[str]) -> int:
    """torchrun, with our exit codes."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    if "--standalone" not in arguments:
        keep_noticing_lost_machines()  # torchrun would wait for a lost first machine for a quarter of an hour
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", PATIENCE_SECONDS)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.disable(logging.ERROR)  # the ranks speak for themselves
    try:
        run(parse_args(arguments))
    except SignalException as error:
        return DIED + error.sigval
    except ChildFailedError as error:
        return exit_code(error.get_first_failure()[1].exitcode)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
