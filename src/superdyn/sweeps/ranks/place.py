"""This process's place among the ranks of one run, as torchrun or srun gives it, and the address of a SLURM node.

superdyn (`group.py`) or the user starts the ranks, and every rank finds its place in the environment. Imports no torch.
"""

import os
import re
import socket
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """Rank `rank` of `size`, number `local_rank` of `local_size` on its machine, started by `starter`."""

    starter: str
    rank: int
    size: int
    local_rank: int
    local_size: int

    @property
    def n_machines(self) -> int:
        """On how many machines there are ranks."""
        return self.size // self.local_size


def place() -> Place | None:
    """Where torchrun or srun has put this process; None where neither has started more than one.

    A batch script has SLURM's variables for the tasks of its job too; those of a step (SLURM_STEP_…) mean srun.
    """
    found = os.environ
    if int(found.get("WORLD_SIZE", 1)) > 1 and "RANK" in found and "LOCAL_WORLD_SIZE" in found:
        local = int(found.get("LOCAL_RANK", 0)), int(found["LOCAL_WORLD_SIZE"])
        return Place("torchrun", int(found["RANK"]), int(found["WORLD_SIZE"]), *local)
    tasks = int(found.get("SLURM_STEP_NUM_TASKS", 1))
    if tasks > 1 and "SLURM_PROCID" in found:
        local = int(found.get("SLURM_LOCALID", 0)), tasks // int(found.get("SLURM_STEP_NUM_NODES", 1))
        return Place("srun", int(found["SLURM_PROCID"]), tasks, *local)
    return None


def node_address(name: str) -> str:
    """The node's name if this machine resolves it, else the address by which SLURM knows the node."""
    try:
        socket.getaddrinfo(name, None)
    except socket.gaierror:
        command = ["scontrol", "--oneliner", "show", "node", name]
        shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        found = re.search(r"NodeAddr=(\S+)", shown)
        return found.group(1) if found else name
    return name
