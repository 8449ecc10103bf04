"""`superdyn reproduce`: trains the experiments behind the claims as one multirun, judges each, prints the table.

The paper's claims of a tier share one sweep folder, so a run that two claims need is trained once, and a second call
trains only what is missing. Every printed number is read back from the run files.
"""

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

from superdyn.analysis import load_sweep
from superdyn.analysis.claims import ClaimRow, judge
from superdyn.atomic import write_text_atomically
from superdyn.conf_path import conf_path
from superdyn.config import ConfigError
from superdyn.hydra_app import train
from superdyn.report import write_report
from superdyn.report.terminal import claim_table, console
from superdyn.sweeps.other_study import OtherStudyWarning
from superdyn.sweeps.points import Experiment
from superdyn.sweeps.resolvers import TIERS

PAPER = ("sequential", "travelling_wave", "bottleneck", "universality", "acceleration", "ceiling")
"""The claims of arXiv 2602.01045, in the order in which they build on each other; they share runs and a folder."""


def claim_names(config_dir: Path | None = None) -> list[str]:
    """The experiments that may be named: the paper's, the others, those of the user's own folder of configurations."""
    folders = [conf_path(), *([config_dir] if config_dir else [])]
    present = {path.stem for folder in folders for path in (folder / "experiment").glob("*.yaml")}
    return sorted(present, key=lambda name: (PAPER.index(name) if name in PAPER else len(PAPER), name))


def reproduce(claims: Sequence[str], tier: str, sweep_dir: Path | None, config_dir: Path | None = None) -> int:
    """Train, judge, print and report.

    Args:
        claims: experiments to run; all of the paper's when empty.
        tier: smoke, mini or full.
        sweep_dir: where the runs go; when None `runs/reproduce-<tier>`, and a folder of their own for claims on other
            models, whose runs share no figure with the paper's.
        config_dir: the user's own configurations, searched besides superdyn's.

    Returns:
        0, or 1 when a check fails or a run that a claim needs is not done, or 130 when stopped.

    Raises:
        ConfigError: an unknown claim or tier.
    """
    names = _checked(claims, tier, claim_names(config_dir))
    others = [name for name in names if name not in PAPER]
    folder = sweep_dir or Path("runs") / "-".join(["reproduce", *others, tier])
    own = ["--config-dir", str(config_dir)] if config_dir else []
    overrides = ["-m", *own, f"experiment={','.join(names)}", f"tier={tier}", f"hydra.sweep.dir={folder}"]
    print(f"superdyn train {' '.join(overrides)}", flush=True)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", OtherStudyWarning
        )  # claims share the folder, and each is judged by its own runs
        outcome = train(overrides)
    assert outcome is not None
    if outcome.interrupted:
        print(outcome.summary())
        return outcome.exit_code
    rows = judge_claims(outcome.experiments, folder)
    content = json.dumps([row.to_dict() for row in rows], indent=2, allow_nan=False)
    write_text_atomically(folder / "claims.json", content)
    console().print(claim_table(rows))
    print(f"report: {write_report(folder)}")
    return int(any(row.verdict in ("fail", "missing") for row in rows))


def judge_claims(experiments: Mapping[str, Experiment], folder: Path) -> list[ClaimRow]:
    """The rows of every claim, from the run files in `folder`.

    Raises:
        ConfigError: an experiment carries no claim.
    """
    frame = load_sweep(folder)
    rows: list[ClaimRow] = []
    for name, experiment in experiments.items():
        if experiment.claim is None:
            raise ConfigError(f"experiment={name}: has no claim; allowed are {', '.join(claim_names())}.")
        rows += judge(name, experiment.claim, frame, experiment.signatures)
    return rows


def _checked(claims: Sequence[str], tier: str, known: Sequence[str]) -> list[str]:
    for name in claims:
        if name not in known:
            raise ConfigError(
                f"claim={name!r}: unknown; allowed are {', '.join(known)}, or your own with --config-dir."
            )
    if tier not in TIERS:
        raise ConfigError(f"tier={tier!r}: must be one of {', '.join(TIERS)}.")
    return list(claims) or list(PAPER)
