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
        f"{options.out}: {len(outcome.measured)} revisions measured, {len(outcome.stored)} already stored, "
        f"{len(outcome.failed)} could not be measured",
        flush=True,
    )
    return outcome.exit_code


def add_evaluate_verb(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the verb."""
    verb = verbs.add_parser("evaluate", help="measure the checkpoints of a Hugging Face causal language model")
    verb.add_argument("model", metavar="MODEL", help="hub name, or a folder with one subfolder per checkpoint")
    verb.add_argument("out", metavar="OUT", type=Path, help="run folder; repeat the command to resume")
    verb.add_argument("--tokens", nargs="+", required=True, metavar="FILE", help="token files, folders or patterns")
    verb.add_argument(
        "--revisions", default="auto", help="comma-separated names, public (Pythia's 154), or auto (default): all"
    )
    verb.add_argument("--steps", help="comma-separated optimizer steps of the named revisions")
    verb.add_argument(
        "--step-pattern", help=r"regular expression; its first group is the step, e.g. 'stage1-step(\d+)'"
    )
    verb.add_argument("--bins", type=int, default=10, help="number of bins with equal shares of the text")
    verb.add_argument("--rank-bins", type=int, default=16, help="number of bins of equal width in log rank")
    verb.add_argument("--frequencies", type=Path, help=".npy or CSV (id, count); default: counted on the tokens")
    verb.add_argument("--lr-schedule", type=Path, help="CSV (step, lr); fits over learning-rate time instead of steps")
    verb.add_argument("--max-tokens", type=int, help="evaluate on at most this many targets; default: all")
    verb.add_argument("--context", type=int, help="tokens per window; default: the model's longest, at most 1024")
    verb.add_argument("--batch", type=int, default=8, help="windows per forward pass")
    verb.add_argument("--memory-gib", type=float, help="memory budget; default: 90 %% of the free memory")
    verb.add_argument("--device", default="cpu", help="cpu or cuda")
    verb.add_argument("--dtype", default="float32", help="float32 or bfloat16")
    verb.add_argument("--keep-cache", action="store_true", help="keep downloaded checkpoints in the hub's cache")
    verb.add_argument("--fail-fast", action="store_true", help="stop at the first revision that cannot be measured")
    verb.add_argument("--wandb", metavar="PROJECT", help="show the revisions in Weights & Biases (default: offline)")
    verb.set_defaults(run=run_evaluate)
