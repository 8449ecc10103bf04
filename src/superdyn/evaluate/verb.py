"""`superdyn evaluate MODEL OUT --tokens FILES`: loss per frequency bin, half-times and superposition of checkpoints.

Options are described in `docs/evaluate.md`; nothing heavy is imported before the verb runs.
"""

import argparse
from pathlib import Path
from typing import Any


def run_evaluate(options: argparse.Namespace) -> int:
    """Measure the revisions; 1 when one of them could not be.

    Raises:
        ValueError: input of another kind, in one sentence.
    """
    from superdyn.evaluate.evaluation import evaluate
    from superdyn.evaluate.settings import Settings

    given: dict[str, Any] = {name: value for name, value in vars(options).items() if name != "run"}
    given["tokens"] = tuple(options.tokens)
    outcome = evaluate(Settings(**given), lambda line: print(line, flush=True))
    print(
        f"{options.out}: {len(outcome.measured)} revisions measured, {len(outcome.stored)} were there, "
        f"{len(outcome.failed)} could not be measured",
        flush=True,
    )
    return outcome.exit_code


def add_evaluate_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    verb = verbs.add_parser("evaluate", help="measure the checkpoints of a Hugging Face causal language model")
    verb.add_argument("model", metavar="MODEL", help="hub name, or a folder with a subfolder for each checkpoint")
    verb.add_argument("out", metavar="OUT", type=Path, help="run folder; repeat the command to go on")
    verb.add_argument("--tokens", nargs="+", required=True, metavar="FILE", help="token files, folders or patterns")
    verb.add_argument(
        "--revisions", default="auto", help="names with commas, public (Pythia's 154), or auto: all there are"
    )
    verb.add_argument("--steps", help="optimizer step of each named revision, with commas")
    verb.add_argument("--step-pattern", help=r"regular expression whose group is the step, e.g. 'stage1-step(\d+)'")
    verb.add_argument("--bins", type=int, default=10, help="bins with an equal part of the text each")
    verb.add_argument("--rank-bins", type=int, default=16, help="bins equally wide in log frequency rank")
    verb.add_argument("--frequencies", type=Path, help=".npy or CSV (id, count); counted on the tokens when left out")
    verb.add_argument("--lr-schedule", type=Path, help="CSV (step, lr), so that the time is learning-rate time")
    verb.add_argument("--max-tokens", type=int, help="targets to measure on; all when left out")
    verb.add_argument("--context", type=int, help="positions of a window; the model's, at most 1024, when left out")
    verb.add_argument("--batch", type=int, default=8, help="windows at once")
    verb.add_argument("--memory-gib", type=float, help="budget; 90 %% of what is free when left out")
    verb.add_argument("--device", default="cpu", help="cpu or cuda")
    verb.add_argument("--dtype", default="float32", help="float32 or bfloat16")
    verb.add_argument("--keep-cache", action="store_true", help="keep downloaded checkpoints in the hub's cache")
    verb.add_argument("--fail-fast", action="store_true", help="stop at the first revision that cannot be measured")
    verb.add_argument("--wandb", metavar="PROJECT", help="show the revisions in Weights & Biases, offline by default")
    verb.set_defaults(run=run_evaluate)
