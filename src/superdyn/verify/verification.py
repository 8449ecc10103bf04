"""What `superdyn verify` looks at: a run folder, the runs of a sweep folder, or a folder of token shards.

The files are read in blocks by several threads, since hashing and waiting for a disk leave Python's lock to the others;
small files of a run are one job, every large one is a job of its own. Nothing is written.
"""

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from superdyn.features.tokens.manifest import MANIFEST as TOKENS_FILE
from superdyn.runs.folder import SWEEP_FILE, RunFolder
from superdyn.runs.sweep_folder import SweepPoint, read_points, run_folders
from superdyn.verify.finding import Advance, Finding, Job
from superdyn.verify.run import diff_problem, run_jobs
from superdyn.verify.tokens import token_jobs

THREADS = min(8, 2 * (os.cpu_count() or 1))


@dataclass
class Verification:
    """The work to be done on a folder, and what came of it.

    Attributes:
        jobs: what is looked at; `runs`: how many run folders that concerns, None for token shards.
        without_manifest: names of the runs of which only the readability can be told.
        findings: those of the jobs that are through.
        bytes: read so far.
    """

    path: Path
    jobs: list[Job]
    runs: int | None
    without_manifest: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    bytes: int = 0

    def run(self, advance: Advance = lambda count: None) -> Iterator[Finding]:
        """Do the work; every finding as it comes, in the order of the runs."""
        lock, stopped = threading.Lock(), threading.Event()

        def read(count: int) -> None:
            if stopped.is_set():  # by Ctrl-C: the threads need not read large files to their ends
                raise CancelledError
            with lock:
                self.bytes += count
                advance(count)

        with ThreadPoolExecutor(THREADS) as pool:
            try:
                for found in pool.map(lambda job: job.check(read), self.jobs):
                    self.findings += found
                    yield from found
            finally:
                stopped.set()

    @property
    def problems(self) -> list[Finding]:
        """What is not whole or was altered."""
        return [finding for finding in self.findings if finding.problem]

    @property
    def exit_code(self) -> int:
        """0 when all is whole."""
        return int(bool(self.problems))

    def summary(self) -> str:
        """Counts in one line."""
        kinds = Counter(finding.kind for finding in self.problems)
        problems = ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or "intact"
        n_files = sum(job.files for job in self.jobs)
        what = "token shards" if self.runs is None else "1 run" if self.runs == 1 else f"{self.runs:,} runs"
        text = f"{self.path}: {problems}; {what}, {n_files:,} files, {decimal(self.bytes)} read"
        if n := len(self.without_manifest):
            text += f"; {n:,} without a manifest, checked for readability only"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Everything, in plain JSON types."""
        rows = [
            (finding, {"file": finding.file, "kind": finding.kind, "text": finding.text}) for finding in self.findings
        ]
        return {
            "path": str(self.path),
            "whole": not self.problems,
            "runs": self.runs,
            "files": sum(job.files for job in self.jobs),
            "bytes": self.bytes,
            "without_manifest": self.without_manifest,
            "problems": [row for finding, row in rows if finding.problem],
            "notes": [row for finding, row in rows if not finding.problem],
        }


def verification(path: str | Path) -> Verification:
    """What there is to verify in a folder.

    Raises:
        ValueError: it is no folder, or holds neither runs nor token shards.
    """
    root = Path(path)
    if (root / TOKENS_FILE).is_file():
        return Verification(root, token_jobs(root), None)
    folders = run_folders(root)
    is_sweep = (root / SWEEP_FILE).is_file()
    if not folders and not is_sweep:
        raise ValueError(
            f"path={str(path)!r} holds no run; allowed: a run folder, a sweep folder, a folder of token shards"
        )
    points, findings = _points(root, folders) if is_sweep else ({}, [])
    work = Verification(root, [Job(0, int(is_sweep), lambda advance: findings)], len(folders))
    if is_sweep:
        work.jobs.append(_code_job(root))
    for folder in folders:
        label = "" if folder.path == root else f"{folder.name}/"
        jobs, has_manifest = run_jobs(folder, label, points.get(folder.name))
        work.jobs += jobs
        work.without_manifest += [] if has_manifest else [folder.name]
    return work


def _points(root: Path, folders: Sequence[RunFolder]) -> tuple[dict[str, SweepPoint], list[Finding]]:
    """The points that the sweep lists, by folder, and those whose folder is not there."""
    try:
        json.loads((root / SWEEP_FILE).read_text(encoding="utf-8"))
        points = {point.folder: point for point in read_points(root)}
    except (ValueError, OSError) as error:
        return {}, [Finding(SWEEP_FILE, "unreadable", f"it may be cut short: {error}")]
    present = {folder.name for folder in folders}
    lost = [name for name in points if name not in present]
    return points, [Finding(name, "missing", f"{SWEEP_FILE} lists this run") for name in lost]


def _code_job(root: Path) -> Job:
    """The changes to the code that made the runs, in files that are named by their digest."""
    paths = sorted((root / "code").glob("*.diff"))

    def check(advance: Advance) -> list[Finding]:
        found = [(path.name, diff_problem(path, advance)) for path in paths]
        return [Finding(f"code/{name}", *problem) for name, problem in found if problem is not None]

    return Job(sum(path.stat().st_size for path in paths), len(paths), check)
