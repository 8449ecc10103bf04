"""Where the ranks of a SLURM job meet: at the first of its nodes, by whatever name or address reaches it."""

import re
import socket
import subprocess

_FIRST_PORT, _PORTS = 15_000, 10_000
"""Below those that the system hands out itself; by the job's number, so that jobs on one node do not meet."""


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


def group_port(job: str) -> int:
    """Where the ranks of the job of this number meet."""
    return _FIRST_PORT + int(job) % _PORTS
