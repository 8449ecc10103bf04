"""A torchrun group: N ranks, on each of its machines, of `superdyn.sweeps.workers.worker` that train a task together.

`python -m superdyn.sweeps.ranks.group N TASK`, with a `Share` on each of several machines, is torchrun with an exit
code that says what happened: 143 after SIGTERM, 130 after Ctrl-C, else that of the first rank that failed. Signals
reach the ranks once, through torchrun. Nothing heavy is imported, so that torchrun starts at once.
"""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import FrameType

from superdyn.sweeps.exit_codes import DIED
from superdyn.sweeps.ranks.keep_alive import keep_noticing_lost_machines

WORKER = "superdyn.sweeps.workers.worker"

PARENT_ON_STDIN = "--end-with-parent"
"""For the command of a worker: it stops, as on SIGTERM, when the pipe that is its standard input closes."""

SAFE_PATH = {"PYTHONSAFEPATH": "1"}
"""For the environment of workers: no file in the working directory may stand in for an installed package."""

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


def group_command(n_ranks: int, arguments: Sequence[str], share: Share | None = None) -> list[str]:
    """The command that trains a task with `n_ranks` ranks on this machine, and on others if it has a share only."""
    part = [] if share is None else [_SHARE, json.dumps(asdict(share))]
    return [sys.executable, "-m", "superdyn.sweeps.ranks.group", str(n_ranks), *part, *arguments]


def worker_command(n_ranks: int, arguments: Sequence[str], share: Share | None = None) -> list[str]:
    """The command of a worker: one process, or a group of ranks."""
    if n_ranks == 1 and share is None:
        return [sys.executable, "-m", WORKER, *arguments]
    return group_command(n_ranks, arguments, share)


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
        code = error.get_first_failure()[1].exitcode
        return code if code > 0 else DIED - code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
