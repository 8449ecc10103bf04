"""`superdyn doctor`: what this machine offers, what is known not to work on it, and what to do about each.

Every check answers ok, warn (works, with a cost) or fail (do not start a sweep like this) and names a
remedy. Nothing is changed, no network is used, and no secret is printed.
"""

import importlib.util
import netrc
import os
import platform
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from packaging.specifiers import SpecifierSet
from rich.table import Table
from rich.text import Text

from superdyn.config.targets import BUILT_IN, allowed_packages
from superdyn.config.validation import ConfigError
from superdyn.installed import installed_version, named_version
from superdyn.runs.environment import git_state

Outcome = Literal["ok", "warn", "fail"]
STYLES: dict[Outcome, str] = {"ok": "green", "warn": "yellow", "fail": "bold red"}

PYTHON = SpecifierSet(">=3.11,<3.14")

REQUIRED: dict[str, tuple[str, str]] = {
    "torch": (">=2.11", "pip install 'torch>=2.11'"),
    "pytorch-lightning": (
        ">=2.6.4",
        "pip install 'pytorch-lightning>=2.6.4'; 2.6.2 and 2.6.3 were malware: if either was ever installed "
        "here, replace the credentials that this machine could read",
    ),
    "hydra-core": (">=1.3.6,<1.4", "pip install 'hydra-core>=1.3.6,<1.4'"),
    "omegaconf": (">=2.3,<2.4", "pip install 'omegaconf>=2.3,<2.4'"),
    "wandb": (">=0.31", "pip install 'wandb>=0.31'"),
    "numpy": (">=2.0", "pip install 'numpy>=2.0'"),
}

LAUNCHER_VARIABLES = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

LOW_SPACE_GIB = 1.0


@dataclass(frozen=True)
class Check:
    """One finding: what was looked at, how it is, the detail, and what to do unless all is well."""

    name: str
    outcome: Outcome
    detail: str
    remedy: str = ""


def doctor() -> list[Check]:
    """All checks, in the order in which a reader needs them."""
    installed = [check_package(name, installed_version(name)) for name in REQUIRED]
    return [
        check_python(platform.python_version()),
        *installed,
        *check_devices(),
        check_wandb_mode(),
        check_wandb_login(),
        *(check_folder(name, path) for name, path in _folders().items()),
        check_launcher_variables(),
        check_targets(),
        check_code(),
    ]


def exit_status(checks: Iterable[Check]) -> int:
    """1 if a check failed, else 0."""
    return int(any(check.outcome == "fail" for check in checks))


def doctor_table(checks: Iterable[Check]) -> Table:
    """The checks for a terminal, each remedy under its finding."""
    table = Table(box=None, pad_edge=False)
    for column in ("check", "", "finding and remedy"):
        table.add_column(column, overflow="fold")
    for check in checks:
        text = check.detail + (f"\n→ {check.remedy}" if check.remedy else "")
        table.add_row(check.name, f"[{STYLES[check.outcome]}]{check.outcome}[/]", Text(text))
    return table


def check_python(found: str) -> Check:
    """The interpreter; Hydra 1.3's command line breaks on 3.14."""
    if PYTHON.contains(found):
        return Check("python", "ok", found)
    return Check("python", "fail", f"{found}, allowed is {PYTHON}", "use Python 3.11, 3.12 or 3.13")


def check_package(name: str, found: str | None) -> Check:
    """A required package; `found` is its version, None if absent."""
    allowed, remedy = REQUIRED[name]
    if found is None:
        return Check(name, "fail", "not installed", remedy)
    if SpecifierSet(allowed).contains(found, prereleases=True):
        return Check(name, "ok", found)
    return Check(name, "fail", f"{found}, allowed is {allowed}", remedy)


def check_devices() -> list[Check]:
    """CPU threads, and every CUDA device with its free memory."""
    if installed_version("torch") is None:
        return []
    import torch

    threads, cores = torch.get_num_threads(), os.cpu_count()
    checks = [Check("cpu", "ok", f"{threads} threads on {cores} logical cores")]
    if not torch.cuda.is_available():
        return [
            *checks,
            Check("cuda", "ok", f"no device for torch {torch.__version__}: runs train on the CPU"),
        ]
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        detail = f"{torch.cuda.get_device_name(index)}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
        busy = free < total / 2
        remedy = "in use: wait, or choose another device with CUDA_VISIBLE_DEVICES" if busy else ""
        checks.append(Check(f"cuda:{index}", "warn" if busy else "ok", detail, remedy))
    return checks


def check_wandb_mode() -> Check:
    """What WANDB_MODE makes of `logger=wandb`."""
    mode = os.environ.get("WANDB_MODE", "offline")
    known = ("offline", "online", "disabled", "shared")
    if mode not in known:
        remedy = f"set it to one of {', '.join(known)}, or unset it"
        return Check("wandb mode", "fail", f"WANDB_MODE={mode}", remedy)
    if mode == "offline":
        return Check("wandb mode", "ok", "offline: runs stay in their folders, `wandb sync` uploads later")
    return Check("wandb mode", "ok", f"WANDB_MODE={mode}")


def check_wandb_login() -> Check:
    """Whether a key is at hand; it is neither read out nor tried."""
    if "WANDB_API_KEY" in os.environ:
        return Check("wandb login", "ok", "WANDB_API_KEY is set")
    hosts = _netrc_hosts() & _wandb_hosts()
    if hosts:
        return Check("wandb login", "ok", f"a key for {', '.join(sorted(hosts))} is in the netrc file")
    if os.environ.get("WANDB_MODE", "offline") in ("online", "shared"):
        return Check("wandb login", "fail", "no key, and WANDB_MODE asks for one", "wandb login, or unset WANDB_MODE")
    return Check("wandb login", "ok", "not logged in, and not needed offline")


def check_folder(name: str, path: Path) -> Check:
    """Whether files can be made in `path`, and how much room there is."""
    try:
        with tempfile.NamedTemporaryFile(dir=path, prefix=".superdyn-doctor-"):
            pass
    except OSError as error:
        return Check(name, "fail", f"{path}: {error.strerror}", "choose a folder that this user can write to")
    free = shutil.disk_usage(path).free / 2**30
    if free < LOW_SPACE_GIB:
        return Check(name, "warn", f"{path}: {free:.2f} GiB free", "make room for checkpoints and spectra")
    return Check(name, "ok", f"{path}: writable, {free:.0f} GiB free")


def check_launcher_variables() -> Check:
    """Variables that a distributed launcher leaves behind make a single process wait for others."""
    found = [f"{name}={os.environ[name]}" for name in LAUNCHER_VARIABLES if name in os.environ]
    if not found:
        return Check("launcher", "ok", "no variables left over from a distributed launcher")
    names = " ".join(entry.split("=")[0] for entry in found)
    remedy = f"unless torchrun or a scheduler set them just now: unset {names}"
    return Check("launcher", "warn", ", ".join(found), remedy)


def check_targets() -> Check:
    """From which packages a configuration may name classes, and whether the user's own are found."""
    try:
        packages = allowed_packages()
    except ConfigError as error:
        return Check("targets", "fail", str(error), "correct the entry")
    detail = f"a configuration may name {', '.join((*BUILT_IN, *packages))}"
    absent = [package for package in packages if importlib.util.find_spec(package.partition(".")[0]) is None]
    if absent:
        return Check("targets", "warn", f"{detail}; not found: {', '.join(absent)}", "put them on PYTHONPATH")
    return Check("targets", "ok", detail)


def check_code() -> Check:
    """Whether a run's record will name the exact code."""
    state = git_state()
    if state is None:
        named = named_version("superdyn", installed_version("superdyn"))
        return Check("code", "ok", f"{named}, whose source is not tracked by git")
    if state["dirty"]:
        detail = f"commit {state['commit'][:10]} with changes that are not committed"
        return Check("code", "warn", detail, "commit before runs that must be reproducible")
    return Check("code", "ok", f"commit {state['commit'][:10]}, clean")


def _folders() -> dict[str, Path]:
    folders = {"working folder": Path.cwd(), "temporary folder": Path(tempfile.gettempdir())}
    if "WANDB_DIR" in os.environ:
        folders["wandb folder"] = Path(os.environ["WANDB_DIR"])
    return folders


def _wandb_hosts() -> set[str]:
    if installed_version("wandb") is None:
        return set()
    import wandb

    url = os.environ.get("WANDB_BASE_URL", wandb.Settings().base_url)
    return {urlsplit(url).hostname or url, "api.wandb.ai"}


def _netrc_hosts() -> set[str]:
    path = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    if not path.is_file():
        return set()
    try:
        return set(netrc.netrc(str(path)).hosts)
    except (netrc.NetrcParseError, PermissionError):
        return set()
