"""The suite of language models: superdyn's engine and whole runs against a plain PyTorch loop of the same model."""

from collections.abc import Iterator
from typing import Any

from superdyn.bench.language_workload import LanguageWorkload, workloads
from superdyn.bench.one import alone
from superdyn.bench.timing import Job

PLAIN, WHOLE_COMPILED = "plain", "plain, compiled whole"
ENGINE, EVERYTHING_ON = "superdyn", "superdyn train"
_UNIT = "tokens_per_s"
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


def records(quick: bool, device: str) -> Iterator[dict[str, Any]]:
    """The record, growing by one workload at a time."""
    from superdyn.bench.hardware import product_flops
    from superdyn.bench.language_equality import STEPS, loss_differences, rounded_difference

    loads = workloads(quick, device)
    record: dict[str, Any] = {
        "equality_steps": STEPS,
        "loss_difference": loss_differences(workloads(True, "cpu")[0]),
        "rounded_loss_difference": rounded_difference(loads[0]) if device == "cuda" else None,
        "product_flops": product_flops(device),
        "comparisons": [],
    }
    single: dict[str, Any] = {}
    for load in loads:
        record["comparisons"].append(_compare(load, device, single))
        single = record["comparisons"][-1]["results"] if load.runs == 1 else single
        yield record


def _compare(load: LanguageWorkload, device: str, single: dict[str, Any]) -> dict[str, Any]:
    """All rivals on one workload; plain loops train one run after the other, at the speed of `single`, the R = 1."""
    rivals = [PLAIN, ENGINE, EVERYTHING_ON]
    if device == "cuda":
        rivals.insert(1, WHOLE_COMPILED)
    results = {}
    for rival in rivals:
        one_by_one = load.runs > 1 and rival.startswith(PLAIN)
        results[rival] = single[rival] if one_by_one else alone("language", rival, load.as_mapping(), device, _UNIT)
    facts = {"parameters": load.parameters, "token_flops": load.token_flops}
    return {"workload": load.as_mapping(), **facts, "results": results}
