"""Whether one run's files are those that its manifest lists, and whether they agree with each other.

A run may be in training meanwhile, so a file that differs from its entry is a problem only if the entry still stands.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import yaml

from superdyn.config import signature_of
from superdyn.runs.config_file import parse_config
from superdyn.runs.folder import RunFolder
from superdyn.runs.hashed_file import Entry, hash_file
from superdyn.runs.manifest import MANIFEST_FILE, Manifest, difference, found_files, is_steady
from superdyn.runs.schema import schema_fingerprint
from superdyn.runs.status import Status
from superdyn.runs.sweep_folder import SweepPoint
from superdyn.runs.table_file import read_table
from superdyn.training.grid import measurement_steps
from superdyn.verify.finding import Advance, Finding, Job

LARGE_BYTES = 8 * 2**20
"""A file of this size is a job of its own."""

_KILLED = "a process was killed, or is at work, between writing it and listing it; the next one of this run lists it"

_CHECKPOINT = re.compile(r"checkpoints/step-(\d+)")

_grid = lru_cache(measurement_steps)


@dataclass(frozen=True)
class _Run:
    """A run folder as it was found; `label` is its place in what is verified, `listed` what the sweep says of it."""

    folder: RunFolder
    label: str
    listed: SweepPoint | None
    manifest: Manifest | None
    names: tuple[str, ...]

    def finding(self, name: str, kind: str, text: str, problem: bool = True) -> Finding:
        return Finding(f"{self.label}{name}".rstrip("/"), kind, text, problem)

    def path(self, name: str) -> Path:
        return self.folder.path / name

    def entry(self, name: str) -> Entry | None:
        return None if self.manifest is None else self.manifest.files.get(name)

    @cached_property
    def config(self) -> Mapping[str, Any] | None:
        return _quietly(lambda: parse_config(self.path("config.yaml").read_text(encoding="utf-8")))

    @cached_property
    def environment(self) -> Mapping[str, Any]:
        return _quietly(self.folder.environment) or {}

    @cached_property
    def status(self) -> Status | None:
        return _quietly(self.folder.status)

    @property
    def has_ended(self) -> bool:
        return self.manifest is not None and self.manifest.complete

    @property
    def signatures(self) -> set[str] | None:
        """Those that its checkpoints may carry; None if they are not known."""
        if self.manifest is None:
            return None
        first = self.environment.get("first_signature")
        return {self.manifest.signature, *self.manifest.earlier, *([first] if first else [])}


def run_jobs(folder: RunFolder, label: str, listed: SweepPoint | None = None) -> tuple[list[Job], bool]:
    """The work on one run folder, and whether it has a manifest."""
    try:
        manifest, damaged = Manifest.read(folder.path), []
    except ValueError as error:
        manifest, damaged = None, [Finding(f"{label}{MANIFEST_FILE}", "unreadable", _after(error, folder.path))]
    names = dict.fromkeys([*(manifest.files if manifest else ()), *found_files(folder.path)])
    run = _Run(folder, label, listed, manifest, tuple(names))
    sizes = {name: path.stat().st_size if (path := run.path(name)).is_file() else 0 for name in names}
    small = [name for name in names if sizes[name] < LARGE_BYTES]
    first = Job(
        sum(sizes[name] for name in small), len(small), lambda advance: damaged + _run_findings(run, small, advance)
    )
    large = [Job(sizes[name], 1, partial(_file_findings, run, name)) for name in names if sizes[name] >= LARGE_BYTES]
    return [first, *large], manifest is not None or bool(damaged)


def _run_findings(run: _Run, small: list[str], advance: Advance) -> list[Finding]:
    found = [finding for name in small for finding in _file_findings(run, name, advance)]
    damaged = {finding.file.removeprefix(run.label) for finding in found if finding.problem}
    return found + _identity(run, damaged) + _progress(run, damaged)


def _file_findings(run: _Run, name: str, advance: Advance) -> list[Finding]:
    """Whether one file is there, is what was listed, and can be read."""
    path, entry = run.path(name), run.entry(name)
    try:
        if entry is None:
            return _unlisted(run, name, advance)
        found = difference(path, entry, advance) or _content(run, name, True)
    except FileNotFoundError:
        found = None if entry is None else ("missing", f"{MANIFEST_FILE} lists it")
    except OSError as error:
        found = "unreadable", str(error)
    return [run.finding(name, *found)] if found is not None and (entry is None or _stands(run, name)) else []


def _unlisted(run: _Run, name: str, advance: Advance) -> list[Finding]:
    """A file without an entry is read as far as a reader would, and explained where one would expect it to have one."""
    size = run.path(name).stat().st_size
    found = _content(run, name, False)
    advance(size)
    if not run.path(name).is_file():  # a run that goes on has deleted it meanwhile
        return []
    if found is not None:
        return [run.finding(name, *found)]
    if run.has_ended and _stands(run, name):
        return [run.finding(name, "unknown", f"{MANIFEST_FILE} does not list it, and the run had ended")]
    if run.manifest is not None and is_steady(name):
        return [run.finding(name, "not listed", _KILLED, problem=False)]
    return []


def _content(run: _Run, name: str, hashed: bool) -> tuple[str, str] | None:
    """Whether the file's reader takes it; of a file that its hash vouches for only a checkpoint is opened."""
    path = run.path(name)
    if path.suffix == ".pt":
        from superdyn.verify.checkpoint import checkpoint_problem  # with torch

        return checkpoint_problem(path, run.signatures, hashed)
    if path.suffix == ".diff":
        return diff_problem(path)
    if hashed:
        return None
    readers: dict[str, Callable[[], object]] = {
        ".yaml": lambda: dict(parse_config(path.read_text(encoding="utf-8"))),
        ".json": lambda: json.loads(path.read_text(encoding="utf-8")),
        ".parquet": lambda: read_table(path),
    }
    try:
        readers[path.suffix]()
    except (ValueError, TypeError, yaml.YAMLError) as error:  # pyarrow's errors are ValueErrors
        return "unreadable", f"it may be cut short: {_after(error, path)}"
    return None


def diff_problem(path: Path, advance: Advance | None = None) -> tuple[str, str] | None:
    """Whether the changes to the code in a file are those that its name, the start of their digest, says."""
    named = hash_file(path, advance).sha256.startswith(path.stem)
    return None if named else ("altered", "its name is not the start of its SHA-256")


def _identity(run: _Run, damaged: set[str]) -> list[Finding]:
    """Whether status, sweep and configuration are those of the run that the manifest names."""
    found, status = [], run.status
    if status is None and run.path("status.json").is_file():
        return [run.finding("status.json", "unreadable", "it may be cut short")]
    recorded = run.manifest.signature if run.manifest and run.has_ended else status.signature if status else None
    if recorded is None:
        return found
    if status is not None and status.signature != recorded:
        found.append(run.finding("status.json", "another run", f"{_named(status.signature)}, not {_named(recorded)}"))
    if run.listed is not None and run.listed.signature != recorded:
        text = f"the sweep lists {_named(run.listed.signature)} here, and it is {_named(recorded)}"
        found.append(run.finding("", "another run", text))
    config = run.config
    comparable = config is not None and config.get("kind") != "evaluation" and "environment.json" not in damaged
    if comparable and run.environment.get("schema") == schema_fingerprint():
        signature = _quietly(lambda: signature_of(config or {}))
        if signature != recorded:
            text = f"it describes {_named(signature or '?')}, not {_named(recorded)}"
            found.append(run.finding("config.yaml", "another configuration", text))
    return found


def _progress(run: _Run, damaged: set[str]) -> list[Finding]:
    """Whether curve and spectrum reach as far as the status and the checkpoints say."""
    status, config, tables = run.status, run.config, ("curve.parquet", "spectrum.parquet")
    if status is None or config is None or "config.yaml" in damaged:
        return []
    upto, why = _reached(run, status)
    if upto is None:
        return []
    absent = [name for name in tables if not run.path(name).is_file() and run.entry(name) is None]
    found = [run.finding(name, "missing", why) for name in absent]
    if config.get("kind") == "evaluation":
        return found
    trainer = config["trainer"]
    wanted = [step for step in _grid(trainer["max_steps"], trainer["points_per_decade"]) if step <= upto]
    for name in tables:
        if name in damaged or name in absent or _quietly(partial(_rows, run.path(name))) == (len(wanted), upto):
            continue
        steps = _quietly(partial(_steps, run.path(name))) or []
        if steps[: len(wanted)] != wanted:
            text = f"it ends at step {steps[-1] if steps else '–'} with {len(steps)} of {len(wanted)} rows, and {why}"
            found.append(run.finding(name, "too few rows", text))
    return found


def _reached(run: _Run, status: Status) -> tuple[int | None, str]:
    """The step up to which the run must have measured, and what says so."""
    if status.state == "done":
        return status.max_steps, f"status.json says that step {status.max_steps:,} was reached"
    steps = [int(found[1]) for name in run.names if (found := _CHECKPOINT.match(name))]
    return max(steps, default=None), f"there is a checkpoint of step {max(steps, default=0):,}"


def _rows(path: Path) -> tuple[int, int]:
    """How many rows a table has, and the step of the last one, as its footer says: a fifth of the time of reading."""
    footer = pq.read_metadata(path)
    return footer.num_rows, footer.row_group(footer.num_row_groups - 1).column(0).statistics.max


def _steps(path: Path) -> list[int]:
    return read_table(path, ["step"])["step"].to_pylist()


def _stands(run: _Run, name: str) -> bool:
    """Whether the manifest still says of a file what it said; a run that is in training meanwhile rewrites it."""
    now = _quietly(lambda: Manifest.read(run.folder.path))
    return now is not None and now.complete == run.has_ended and now.files.get(name) == run.entry(name)


def _quietly(read: Callable[[], Any]) -> Any:
    """What can be read, None where it cannot: that it cannot is found where the file itself is looked at."""
    try:
        return read()
    except (ValueError, TypeError, KeyError, AttributeError, OSError, yaml.YAMLError):
        return None


def _named(signature: str) -> str:
    return f"the run with signature {signature[:8]}"


def _after(error: Exception, path: Path) -> str:
    """The first line of an error, without the file's own path in front."""
    return str(error).removeprefix(f"{path}").lstrip(" :/").splitlines()[0]
