"""`superdyn verify DIR`: one line for every problem, then one with the counts; `--json` for programs."""

import argparse
import json
import sys
from pathlib import Path


def run_verify(options: argparse.Namespace) -> int:
    """Look at the folder; 1 when something is missing, unreadable or not what was written.

    Raises:
        ValueError: there is nothing to verify.
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    from superdyn.verify.verification import verification

    work = verification(options.folder)
    console = Console(stderr=True)
    columns = BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=sum(job.bytes for job in work.jobs))
        for finding in work.run(lambda count: progress.advance(task, count)):
            if not options.json:
                note = "" if finding.problem else "note: "
                print(f"{note}{options.folder / finding.file}: {finding.kind}: {finding.text}")
    print(json.dumps(work.to_dict(), indent=2) if options.json else work.summary())
    sys.stdout.flush()
    return work.exit_code


def add_verify_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb; nothing heavy is imported."""
    verb = verbs.add_parser("verify", help="check that the files of a run, a sweep or token shards are intact")
    verb.add_argument("folder", metavar="DIR", type=Path, help="run folder, sweep folder, or folder of token shards")
    verb.add_argument("--json", action="store_true", help="print JSON instead of lines")
    verb.set_defaults(run=run_verify)
