"""The suite of language models: superdyn's engine and whole runs against a plain PyTorch loop of the same model."""

from collections.abc import Callable
from typing import Any

from superdyn.bench.language_workload import LanguageWorkload, workloads
from superdyn.bench.timing import Job

PLAIN, WHOLE_COMPILED = "plain", "plain, compiled whole"
ENGINE, EVERYTHING_ON = "superdyn", "superdyn train"
ONE_BY_ONE = (PLAIN, WHOLE_COMPILED)
UNIT = "tokens_per_s"
_SETTING_UP = 8.0
"""Whole runs are timed so many times as long, since their setting up takes seconds that vary."""
_FIRST_STEPS = {"cpu": 2, "cuda": 16}
"""Of whole runs, which compile anew at every length that is tried."""
_LARGE = 2 * 10**8
"""Parameters of a model of which two get ready together on a GPU, and of smaller ones three, by their memory."""


def job(rival: str, workload: dict[str, Any], device: str) -> Job:
    """How a rival trains: one run, or all runs where it trains them together."""
    load = LanguageWorkload(**workload)
    if rival.startswith(PLAIN):
        from superdyn.bench.rivals.plain_language import PlainLanguageLoop

        loop = PlainLanguageLoop(load, device, "whole" if rival == WHOLE_COMPILED else "blocks")
        return Job(loop.train, load.step_tokens)
    from superdyn.bench.rivals.language_pack import LanguagePack

    pack = LanguagePack(load, device)
    if rival == ENGINE:
        return Job(pack.steps_only, load.runs * load.step_tokens)
    return Job(pack.train, load.runs * load.step_tokens, longer=_SETTING_UP, first_steps=_FIRST_STEPS[device])


def tasks(quick: bool, device: str) -> list[tuple[dict[str, Any], str]]:
    """Workloads and competitors in the order of measuring: whole runs, which take longest, last."""
    rivals = (ENGINE, WHOLE_COMPILED, PLAIN) if device == "cuda" else (PLAIN, ENGINE)
    loads = workloads(quick, device)
    steps = [(load, rival) for load in loads for rival in rivals]
    # Where models are large, the better of the plain loops says enough.
    spared = [(load, rival) for load, rival in steps if device == "cuda" and rival == PLAIN and _is_large(load)]
    ordered = [task for task in steps if task not in spared] + spared + [(load, EVERYTHING_ON) for load in loads]
    return [(load.as_mapping(), rival) for load, rival in ordered]


def at_once(workload: dict[str, Any], device: str) -> int:
    """How many competitors may get ready together: their models are in memory at the same time."""
    if device == "cpu":
        return 1
    return 2 if _is_large(LanguageWorkload(**workload)) else 3


def _is_large(load: LanguageWorkload) -> bool:
    return load.parameters > _LARGE


def described(workload: dict[str, Any]) -> dict[str, Any]:
    """Sizes of the model."""
    load = LanguageWorkload(**workload)
    return {"parameters": load.parameters, "token_flops": load.token_flops}


def facts_before(quick: bool, device: str) -> dict[str, Callable[[], Any]]:
    """The speed of one product, and on a CPU, where time is not short, that all train the same model."""
    from superdyn.bench.hardware import product_flops

    return {"product_flops": lambda: product_flops(device)} | (_equality() if device == "cpu" else {})


def facts_beside(quick: bool, device: str) -> dict[str, Callable[[], Any]]:
    """On a GPU, while the competitors get ready, on the host: that all train the same model."""
    return _equality() if device == "cuda" else {}


def facts_after(quick: bool, device: str) -> dict[str, Callable[[], Any]]:
    """On a GPU by how much the compiled and rounded engine differs."""
    from superdyn.bench.language_equality import rounded_difference

    if device == "cpu":
        return {}
    (smallest,) = workloads(True, device)
    return {"rounded_loss_difference": lambda: rounded_difference(smallest)}


def _equality() -> dict[str, Callable[[], Any]]:
    return {"loss_difference": equal_losses}


def equal_losses() -> Any:
    """By how much the losses of the competitors differ, on the same weights and batches."""
    from superdyn.bench.language_equality import loss_differences

    return loss_differences(workloads(True, "cpu")[0])
