"""The command line: `superdyn train | status | retry | fit | report | verify | reproduce | tokens | evaluate |
doctor`.

Each verb is a thin call into its room. Exit codes: 0 done, 1 a run, claim or check failed, 2 wrong input, 130 stopped
by Ctrl-C, 141 nobody reads what is printed any more (`| head`), 143 by SIGTERM.
"""

import argparse
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from rich.console import Console

from superdyn.evaluate.verb import add_evaluate_verb
from superdyn.sweeps.exit_codes import INTERRUPTED, UNREAD, WRONG_INPUT
from superdyn.tokens_command import add_tokens_verb
from superdyn.verify.verb import add_verify_verb

if TYPE_CHECKING:
    from superdyn.sweeps.outcome import SweepOutcome


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    warnings.formatwarning = _one_line
    logging.raiseExceptions = False  # a library's log that cannot be written (full disk) is not worth a traceback
    from superdyn.refusals import USER_ERRORS, sentence

    # A user's package usually lies in the working directory; console scripts do not look there by themselves. Last, so
    # that a folder with a file such as yaml.py or torch.py in it does not replace what is installed.
    sys.path.append(os.getcwd())
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except USER_ERRORS as error:
        print(f"superdyn: {sentence(error)}", file=sys.stderr)
        return WRONG_INPUT
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more as it ends
        return UNREAD
    except OSError as error:
        return _storage_fault(error)
    except KeyboardInterrupt:
        print("superdyn: stopped.", file=sys.stderr)
        return INTERRUPTED


def _run(arguments: list[str]) -> int:
    try:
        if arguments[:1] == ["train"]:
            return _train(arguments[1:])
        options = _parser().parse_args(arguments)
        return options.run(options)
    except SystemExit:  # after -h, and by Hydra
        sys.stdout.flush()
        raise


class _Parser(argparse.ArgumentParser):
    """Refuses in one sentence; the usage is what -h shows."""

    def error(self, message: str) -> NoReturn:
        print(f"superdyn: {message.removeprefix('argument ')}; {self.prog} -h shows what is allowed.", file=sys.stderr)
        sys.exit(WRONG_INPUT)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="superdyn", description="Measure how networks in superposition learn.")
    verbs: argparse._SubParsersAction[argparse.ArgumentParser]
    verbs = parser.add_subparsers(required=True, metavar="verb")  # pyright: ignore[reportAssignmentType]
    verbs.add_parser("train", help="train a run, or with -m a sweep; takes Hydra overrides", add_help=False)

    status = verbs.add_parser("status", help="list the done, running, failed and missing runs of a sweep")
    status.add_argument("folder", type=Path)
    status.set_defaults(run=_status)

    retry = verbs.add_parser("retry", help="train the failed and missing runs of a sweep")
    retry.add_argument("folder", type=Path)
    retry.set_defaults(run=_retry)

    fit = verbs.add_parser("fit", help="fit exponents of a run, a sweep or a CSV with step and loss")
    fit.add_argument("path", type=Path)
    fit.add_argument("--json", action="store_true", help="print JSON instead of a table")
    fit.set_defaults(run=_fit)

    report = verbs.add_parser("report", help="write report.html and the figures of a sweep")
    report.add_argument("folder", type=Path)
    report.set_defaults(run=_report)

    add_verify_verb(verbs)

    reproduce = verbs.add_parser("reproduce", help="train the experiments behind the claims and judge them")
    reproduce.add_argument("claims", nargs="*", metavar="CLAIM", help="claims to test; default: all of the paper")
    reproduce.add_argument("--tier", default="smoke", help="size: smoke (default), mini or full")
    reproduce.add_argument("--dir", type=Path, default=None, help="sweep folder; default: runs/reproduce-TIER")
    reproduce.add_argument("--config-dir", type=Path, default=None, help="your own conf/ with experiment/CLAIM.yaml")
    reproduce.set_defaults(run=_reproduce)

    add_tokens_verb(verbs)
    add_evaluate_verb(verbs)

    doctor = verbs.add_parser("doctor", help="check versions, devices, W&B mode and folders")
    doctor.set_defaults(run=_doctor)
    return parser


def _train(overrides: list[str]) -> int:
    from superdyn.hydra_app import train

    return _summed_up(train(overrides))


def _status(options: argparse.Namespace) -> int:
    from superdyn.report.terminal import console
    from superdyn.runs.sweep_status import status_table

    console().print(status_table(options.folder))
    return 0


def _retry(options: argparse.Namespace) -> int:
    from superdyn.retry import retry

    return _summed_up(retry(options.folder))


def _summed_up(outcome: "SweepOutcome | None") -> int:
    """Say what became of the runs; None of a plan, of Hydra's own flags and in a rank that follows another."""
    if outcome is None:
        return 0
    _say(outcome.summary())
    return outcome.exit_code


def _fit(options: argparse.Namespace) -> int:
    from superdyn.analysis import fit_table
    from superdyn.report.terminal import console, fit_rows
    from superdyn.report.terminal_pooled import pooled_rows

    frame = fit_table(options.path)
    if options.json:
        print(frame.to_json(orient="records", indent=2))
    else:
        console().print(fit_rows(frame, title=f"exponents in {options.path}"))
        pooled = pooled_rows(options.path) if options.path.is_dir() else None
        if pooled is not None:
            console().print(pooled)
    return 0


def _report(options: argparse.Namespace) -> int:
    from superdyn.report import write_report

    _say(f"report: {write_report(options.folder)}")
    return 0


def _reproduce(options: argparse.Namespace) -> int:
    from superdyn.reproduce import reproduce

    return reproduce(options.claims, options.tier, options.dir, options.config_dir)


def _doctor(options: argparse.Namespace) -> int:
    from superdyn.doctor import doctor, doctor_table, exit_status

    checks = doctor()
    Console().print(doctor_table(checks))
    return exit_status(checks)


def _storage_fault(error: OSError) -> int:
    """A disk that cannot be read or written is no bug; any other system error is."""
    from superdyn.runs.faults import fault_of

    if fault_of(error) != "storage":
        raise error
    print(f"superdyn: {error.filename or 'a folder'}: {(error.strerror or str(error)).lower()}.", file=sys.stderr)
    return WRONG_INPUT


def _one_line(message: Warning | str, category: type[Warning], *_: object) -> str:
    """A warning without the line of source that raised it, which says nothing to a user."""
    return f"{category.__name__}: {message}\n"


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":  # torchrun -m superdyn.cli
    sys.exit(main())
