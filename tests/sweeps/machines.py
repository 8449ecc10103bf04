"""Two machines on this one, joined by a cable: each has a network, a host name and processes of its own.

Made of Linux namespaces (ip-netns(8), unshare(1)), which only root may make; storage is shared. Everything that runs on
a machine ends with it.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from superdyn.runs.process import process_began

PROGRAMS = ("ip", "unshare", "nsenter", "mount")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


def _try(*command: str) -> str | None:
    """What a command complains of, or None."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": PATH})
    return None if done.returncode == 0 else f"{' '.join(command)}: {done.stderr.strip()}"


def why_not() -> str | None:
    """Why no machine can be made here, or None."""
    if missing := [program for program in PROGRAMS if shutil.which(program, path=PATH) is None]:
        return f"no {', '.join(missing)} here"
    if os.geteuid() != 0:
        return "only root may make network namespaces"
    name = f"superdyn-try-{os.getpid()}"
    complaint = _try("ip", "netns", "add", name)
    _try("ip", "netns", "delete", name)
    return complaint or _try("unshare", "--net", "--uts", "--pid", "--fork", "--mount-proc", "true")


def _must(*command: str) -> None:
    complaint = _try(*command)
    assert complaint is None, complaint


class Machine:
    """One machine.

    Args:
        name: host name, which `hosts` may explain.
        network: name of its network namespace.
        address: of its end of the cable.
        hosts: its /etc/hosts.
    """

    def __init__(self, name: str, network: str, address: str, hosts: Path):
        self.name, self.address, self.hosts, self._network = name, address, hosts, network
        self.boot()

    def boot(self) -> None:
        """Start the process whose end is the end of all others."""
        script = f"hostname {self.name} && mount --bind {self.hosts} /etc/hosts && echo up && exec sleep infinity"
        kinds = ["--uts", "--pid", "--mount", "--fork", "--kill-child", "--mount-proc"]
        self._outside = subprocess.Popen(
            ["ip", "netns", "exec", self._network, "unshare", *kinds, "sh", "-c", script],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env={**os.environ, "PATH": PATH},
        )  # fmt: skip
        assert self._outside.stdout is not None
        with self._outside.stdout as said:
            assert said.readline() == b"up\n"
        (self._init,) = _children(self._outside.pid)

    def start(self, command: Sequence[str | Path], **environment: str) -> "subprocess.Popen[str]":
        """A process on this machine, whose output is one pipe."""
        enter = ["nsenter", f"--target={self._init}", "--net", "--uts", "--pid", "--mount", f"--wd={os.getcwd()}", "--"]
        return subprocess.Popen(
            [*enter, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            env={**os.environ, "PATH": PATH, **environment},
        )  # fmt: skip

    def send(self, process: "subprocess.Popen[str]", number: int) -> None:
        """Send a signal to a process that `start` has returned, which nsenter would not pass on."""
        (inside,) = _children(process.pid)
        os.kill(inside, number)

    def children(self, process: "subprocess.Popen[str]") -> list[int]:
        """What a process that `start` has returned has started and is still at work."""
        return [child for inside in _children(process.pid) for child in _children(inside) if process_began(child)]

    def kill(self) -> None:
        """SIGKILL to all processes; the network stays."""
        with suppress(ProcessLookupError):
            os.kill(self._init, signal.SIGKILL)
        self._outside.wait()

    def unplug(self) -> None:
        """Pull the cable out of this machine."""
        _must("ip", "-n", self._network, "link", "set", "cable", "down")

    def plug(self) -> None:
        """Put it back."""
        _must("ip", "-n", self._network, "link", "set", "cable", "up")


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:  # it has ended
        return []


@contextmanager
def two_machines(folder: Path, hosts: str = "10.77.0.1 one\n10.77.0.2 two\n") -> Iterator[tuple[Machine, Machine]]:
    """Machines "one" and "two", 10.77.0.1 and 10.77.0.2.

    Args:
        folder: where a file or two can be written.
        hosts: lines of /etc/hosts on both.
    """
    networks = [f"superdyn-{name}-{os.getpid()}" for name in ("one", "two")]
    file = folder / "hosts"
    file.write_text(f"127.0.0.1 localhost\n{hosts}")
    machines: list[Machine] = []
    try:
        for network in networks:
            _must("ip", "netns", "add", network)
        first, second = networks
        _must("ip", "link", "add", "cable", "netns", first, "type", "veth", "peer", "name", "cable", "netns", second)
        for number, (name, network) in enumerate(zip(("one", "two"), networks, strict=True), start=1):
            address = f"10.77.0.{number}"
            _must("ip", "-n", network, "address", "add", f"{address}/24", "dev", "cable")
            for link in ("lo", "cable"):
                _must("ip", "-n", network, "link", "set", link, "up")
            machines.append(Machine(name, network, address, file))
        yield machines[0], machines[1]
    finally:
        for machine in machines:
            machine.kill()
        for network in networks:
            _try("ip", "netns", "delete", network)
