"""What SLURM says about jobs, and which jobs the launches of a sweep have submitted so far.

`squeue` is asked and not `sacct`, which needs an accounting database. Jobs are written down as they are submitted, in
`launch/<launch>/jobs.json`, so that a later launch waits for those still queued and submits nothing twice.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from superdyn.atomic import write_text_atomically

JOBS = "jobs.json"

ENDED = frozenset(
    (
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED",
        "REVOKED", "TIMEOUT",
    )
)  # fmt: skip
"""States that a job does not leave by itself; PREEMPTED and FAILED also show for a moment while one is requeued."""

FORGOTTEN = "no longer known to SLURM"


@dataclass(frozen=True)
class SubmittedJob:
    """A job, the file of the task that it trains, and its log."""

    job: str
    task: Path
    log: Path


def record_jobs(folder: Path, jobs: Sequence[SubmittedJob]) -> None:
    """Write down the jobs of the launch that keeps its files in `folder`, all of them so far."""
    content = json.dumps([{"job": j.job, "task": str(j.task), "log": str(j.log)} for j in jobs], indent=1)
    write_text_atomically(folder / JOBS, content)


def recorded_jobs(sweep_dir: Path) -> list[SubmittedJob]:
    """The jobs of all launches of a sweep."""
    rows = [row for path in sorted(sweep_dir.glob(f"launch/*/{JOBS}")) for row in json.loads(path.read_text())]
    return [SubmittedJob(row["job"], Path(row["task"]), Path(row["log"])) for row in rows]


def job_states() -> Mapping[str, str] | None:
    """State of each of this user's jobs by its number, e.g. {"17_0": "RUNNING"}; None if SLURM does not answer.

    Ended jobs are among them for a while (`MinJobAge`, five minutes by default).
    """
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}", "--format=%i|%T"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        return None
    return dict(line.strip().split("|") for line in answer.stdout.splitlines() if "|" in line)


def cancel(jobs: Iterable[str]) -> None:
    """Have SLURM end the jobs; their workers get SIGTERM and save."""
    if named := list(jobs):
        subprocess.run(["scancel", *named], capture_output=True, check=False)


def array_ids(jobs: Iterable[str]) -> str:
    """The numbers that name whole arrays, as a user types them: "17 21" for 17_0, 17_1 and 21."""
    return " ".join(dict.fromkeys(job.partition("_")[0] for job in jobs))
