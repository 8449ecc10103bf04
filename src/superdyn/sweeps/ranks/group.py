"""Starts `superdyn.sweeps.workers.worker`: one process, or a torchrun group of N ranks on each of its machines.

`python -m superdyn.sweeps.ranks.group N TASK`, with a `Share` on each of several machines, is torchrun with an exit
code that says what happened: 143 after SIGTERM, 130 after Ctrl-C, else that of the first rank that failed. Signals
reach the ranks once, through torchrun. Nothing heavy is imported, so that torchrun starts at once.
"""

import json
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

_SHARE = "--share"

PATIENCE_SECONDS = "300"
"""How long torchrun lets ranks finish their chunk and save before it kills them; its own is 30."""


@dataclass(frozen=True)
class Share:
    """This machine's part in a group over several: number `number` of `n_machines`, of which `head` is the first.

    Attributes:
        head: its address.
        port: where its ranks keep what all of them must find.
    """

    number: int
    n_machines: int
    head: str
    port: int

    def options(self) -> list[str]:
        """torchrun's."""
        meeting = ["--master-addr", self.head, "--master-port", str(self.port)]
        return ["--nnodes", str(self.n_machines), "--node-rank", str(self.number), *meeting]


def start_worker(
    task: Path,
    n_ranks: int,
    environment: Mapping[str, str],
    *,
    share: Share | None = None,
    log: IO[bytes] | None = None,
    own_session: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start a worker, or a group of ranks, that trains a task; its standard input is a pipe, at whose end it stops.

    Args:
        task: file of a `Task`.
        n_ranks: ranks on this machine.
        environment: set for the worker on top of this process's own.
        share: this machine's, of a group over several.
        log: where the worker writes; None for where this process does.
        own_session: a terminal sends Ctrl-C to every process in its foreground; the worker is then none of them.
    """
    command = [sys.executable, "-m", WORKER]
    if n_ranks > 1 or share is not None:
        part = [] if share is None else [_SHARE, json.dumps(asdict(share))]
        command = [sys.executable, "-m", "superdyn.sweeps.ranks.group", str(n_ranks), *part]
    return subprocess.Popen(
        [*command, str(task), PARENT_ON_STDIN],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=None if log is None else subprocess.STDOUT,
        # No file in the working directory may stand in for an installed package.
        env={**os.environ, "PYTHONSAFEPATH": "1", **environment},
        start_new_session=own_session,
    )


def main(arguments: Sequence[str]) -> int:
    """torchrun on this machine alone, on free ports, or on its share of a group."""
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run

    n_ranks, *task = arguments
    options = ["--standalone"]
    if task[0] == _SHARE:
        options = Share(**json.loads(task[1])).options()
        task = task[2:]
        keep_noticing_lost_machines()  # torchrun would wait for a lost first machine for a quarter of an hour
    os.environ.setdefault("TORCH_ELASTIC_SHUTDOWN_TIMEOUT", PATIENCE_SECONDS)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    logging.disable(logging.ERROR)  # the ranks speak for themselves
    try:
        run(parse_args([*options, "--nproc-per-node", n_ranks, "-m", WORKER, *task]))
    except SignalException as error:
        return DIED + error.sigval
    except ChildFailedError as error:
        return exit_code(error.get_first_failure()[1].exitcode)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
