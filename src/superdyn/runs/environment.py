"""Where a run was made: versions, the code's git commit, host and start time, for `environment.json`.

None of it can change which run this is (that is the signature's matter); all of it may explain a difference.
"""

import functools
import platform
import socket
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RECORDED_PACKAGES = ("superdyn", "torch", "pytorch-lightning", "hydra-core", "wandb", "numpy", "scipy")


def describe_environment() -> dict[str, Any]:
    """Plain mapping: versions, git commit and dirty flag, platform, host, start time (UTC, ISO 8601)."""
    return {
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "versions": _versions(),
        "git": git_state(),
    }


@functools.cache
def _versions() -> dict[str, str]:
    return {package: version(package) for package in RECORDED_PACKAGES}


@functools.cache
def git_state() -> dict[str, Any] | None:
    """`{"commit": hex, "dirty": bool}` of the repository that holds this package's source.

    None when there is none, e.g. for an installed wheel: a repository that merely surrounds the virtual
    environment does not track this file and says nothing about the code.
    """
    source = Path(__file__).resolve()
    if _git(source.parent, "ls-files", "--error-unmatch", source.name) is None:
        return None
    commit = _git(source.parent, "rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": _git(source.parent, "status", "--porcelain", "--", "..") != ""}


def _git(folder: Path, *arguments: str) -> str | None:
    """Standard output of a git command, None if it fails or git is absent."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() if answer.returncode == 0 else None
