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
    return Job(pack.whole, load.runs * load.step_tokens, longer=_SETTING_UP)


def tasks(quick: bool, device: str) -> list[tuple[dict[str, Any], str]]:
    """Workloads and competitors in the order of measuring: whole runs, which take longest, last."""
    rivals = [PLAIN, ENGINE, *([WHOLE_COMPILED] if device == "cuda" else [])]
    loads = [load.as_mapping() for load in workloads(quick, device)]
    return [(load, rival) for load in loads for rival in rivals] + [(load, EVERYTHING_ON) for load in loads]


def described(workload: dict[str, Any]) -> dict[str, Any]:
    """Sizes of the model."""
    load = LanguageWorkload(**workload)
    return {"parameters": load.parameters, "token_flops": load.token_flops}


def facts_before(quick: bool, device: str) -> dict[str, Callable[[], Any]]:
    """The speed of one product, and on a CPU, where time is not lent by the minute, that all train the same model."""
    from superdyn.bench.hardware import product_flops

    return {"product_flops": lambda: product_flops(device)} | (_equality() if device == "cpu" else {})


def facts_after(quick: bool, device: str) -> dict[str, Callable[[], Any]]:
    """On a GPU that all train the same model, and by how much the compiled and rounded engine differs."""
    from superdyn.bench.language_equality import rounded_difference

    if device == "cpu":
        return {}
    (smallest,) = workloads(True, device)
    return {"rounded_loss_difference": lambda: rounded_difference(smallest)} | _equality()


def _equality() -> dict[str, Callable[[], Any]]:
    from superdyn.bench.language_equality import loss_differences

    return {"loss_difference": lambda: loss_differences(workloads(True, "cpu")[0])}
