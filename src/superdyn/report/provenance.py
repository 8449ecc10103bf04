"""Where the numbers of a report come from: command, code, versions, dates and machines.

Dates are those in the runs' own files, not the time of the report, so that the page is the same whenever it
is made.
"""

import platform
import shlex
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from superdyn.installed import installed_version, named_version
from superdyn.report.study import Study
from superdyn.runs.drift import made_by
from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_folder import run_folders
from superdyn.runs.sweep_status import sweep_status

REPORTING_PACKAGES = ("superdyn", "numpy", "scipy", "pandas", "matplotlib")


def provenance(study: Study) -> list[tuple[str, str]]:
    """Names and texts for the page's last table; several values of one entry are all listed."""
    folders = run_folders(study.root)
    environments = [e for e in (folder.environment() for folder in folders) if e is not None]
    # A status file that cannot be read is a failed run in the tables; it has no date to give.
    readable = {row.name for row in sweep_status(study.root) if row.heartbeat_age is not None}
    heartbeats = [_heartbeat(folder) for folder in folders if folder.name in readable]
    report_versions = ", ".join(named_version(name, installed_version(name)) for name in REPORTING_PACKAGES)
    return [
        ("Made by", f"superdyn report {shlex.quote(str(study.root))}"),
        ("Runs started", _span(e.get("started") for e in environments)),
        ("Last sign of life", _span(heartbeats)),
        ("Code of the runs", _distinct(made_by(part) for e in environments for part in (e, *e.get("earlier", ())))),
        ("Versions of the runs", _distinct(_versions(e) for e in environments)),
        ("Machines", _distinct(f"{e.get('host')}, {e.get('platform')}" for e in environments)),
        ("Versions of this report", f"Python {platform.python_version()}, {report_versions}"),
    ]


def _heartbeat(folder: RunFolder) -> str | None:
    status = folder.status()
    return None if status is None else datetime.fromtimestamp(status.heartbeat, UTC).isoformat(timespec="seconds")


def _versions(environment: dict[str, Any]) -> str:
    packages = ", ".join(named_version(name, number) for name, number in environment.get("versions", {}).items())
    return f"Python {environment.get('python')}, {packages}"


def _span(moments: Iterable[str | None]) -> str:
    """Earliest to latest of ISO 8601 times in UTC, which sort as text."""
    known = sorted(moment for moment in moments if moment)
    if not known:
        return "not recorded"
    return known[0] if known[0] == known[-1] else f"{known[0]} to {known[-1]}"


def _distinct(texts: Iterable[str | None]) -> str:
    return "; ".join(sorted({text for text in texts if text})) or "not recorded"
