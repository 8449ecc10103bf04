"""What runs in a job that submitit has submitted: a worker that is attended, and answers to the scheduler's signals.

submitit would cut training in mid-step on USR2 and ignore SIGTERM. Here either first has the worker finish its chunk
and save; then USR2 (the end of the job's time) requeues the job by submitit's own handler, and SIGTERM ends it with
exit code 143, unless SLURM has only announced a preemption, after which it would not start the job again by itself.
A job over several nodes has one such process on each; the first keeps the account and requeues for all.
"""

import re
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from superdyn.sweeps.exit_codes import DEVICE_FAULT, STORAGE_FAULT, TERMINATED
from superdyn.sweeps.ranks.group import Node
from superdyn.sweeps.ranks.place import node_address
from superdyn.sweeps.workers.attended import attend, note_end

_FIRST_PORT, _PORTS = 15_000, 10_000
"""Where the ranks of a job meet: below the ports that the system hands out itself."""

ORDINARY = (0, 1, STORAGE_FAULT, DEVICE_FAULT)
"""Exit codes of a worker that has come to its own end."""


class ClusterJob:
    """Trains one task; submitit pickles this object by the name of its class, and the arguments of its call."""

    def __call__(self, task: str, environment: Mapping[str, str]) -> int:
        """Have a worker train the task in this file; returns the worker's exit code.

        Raises:
            SystemExit: the job was told to stop (143), goes back to the queue, or its worker died.
        """
        from submitit import JobEnvironment

        announced = getattr(signal, f"SIG{JobEnvironment.USR_SIG}")
        requeue: Any = signal.getsignal(announced)
        received: list[int] = []
        for number in (signal.SIGTERM, announced):
            signal.signal(number, lambda number, _: received.append(number))
        node = node_of_group()
        code = attend(Path(task), lambda: bool(received), environment, node=node)
        if node is not None and node.node_rank > 0:
            return code
        if code == TERMINATED and (announced in received or (received and _is_announced_preemption())):
            requeue(announced, None)  # leaves by SystemExit
        note_end(Path(task), code)
        if code not in ORDINARY:
            raise SystemExit(code)
        return code

    def checkpoint(self, task: str, environment: Mapping[str, str]) -> Any:
        """What to submit again: this very task, which goes on from the checkpoints in the run folders."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, task, environment)


def node_of_group() -> Node | None:
    """This node, in a job over several; None in a job on one."""
    from submitit import JobEnvironment

    job = JobEnvironment()
    if job.num_nodes == 1:
        return None
    port = _FIRST_PORT + int(job.raw_job_id) % _PORTS  # by the job's number, so that jobs on one node do not meet
    return Node(job.node, job.num_nodes, node_address(job.hostnames[0]), port)


def _is_announced_preemption() -> bool:
    """Whether this job runs on for a grace time after which another takes its place.

    Without a grace time SLURM stops and requeues a preempted job itself; after `scancel` it must not come back.
    """
    from submitit import JobEnvironment

    environment = JobEnvironment()
    if environment.cluster != "slurm":
        return False
    shown = subprocess.run(
        ["scontrol", "--oneliner", "show", "job", environment.job_id], capture_output=True, text=True, check=False
    ).stdout
    return "JobState=RUNNING" in shown and re.search(r"PreemptTime=\d", shown) is not None
