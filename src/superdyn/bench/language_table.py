"""A record of language models as a Markdown table."""

from typing import Any

from superdyn.bench.language_workload import EQUALITY_STEPS, LanguageWorkload
from superdyn.bench.table import about_cold_starts, cold_start, differences, spread
from superdyn.models.decoder.hardware import peak_flops


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    rounded = record.get("rounded_loss_difference")
    lines = [
        f"Command: `{record['command']}`. {record['hardware']}. {record['versions']}.",
        "",
        f"Largest relative difference of {EQUALITY_STEPS} losses from the plain loop's, on the same weights "
        f"and batches, in float32 on the CPU: {differences(record)}"
        + ("." if rounded is None else f"; of the engine on the GPU as it is timed: {rounded:.1g}."),
        "",
        "| size | R | layers, width, V | tokens a step of a run | precision | competitor "
        "| tokens/s, median (min–max) | of the fastest plain loop's | share of peak | cold start, s | peak MiB |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in record["comparisons"]:
        lines += _rows(entry, record)
    return "\n".join([*lines, *about_cold_starts(record), "", _about_the_peak(record)]) + "\n"


def _rows(entry: dict[str, Any], record: dict[str, Any]) -> list[str]:
    load = LanguageWorkload(**entry["workload"])
    speeds = {
        rival: found["tokens_per_s"]["median"] for rival, found in entry["results"].items() if "error" not in found
    }
    plain = max((speed for rival, speed in speeds.items() if rival.startswith("plain")), default=float("nan"))
    parts = f" in {load.accumulate} parts" if load.accumulate > 1 else ""
    head = (
        f"| {load.size} ({entry['parameters'] / 1e6:.1f}M in all) | {load.runs} | {load.n_layers}, {load.width}, "
        f"{load.vocabulary:,} | {load.batch_size} × {load.context:,}{parts} | {load.precision} |"
    )
    lines = []
    for rival, result in entry["results"].items():
        if "error" in result:
            lines.append(f"{head} {rival} | failed: {result['error'][:80]} | | | | |")
            continue
        rate = result["tokens_per_s"]
        share = rate["median"] * entry["token_flops"] / _peak(record, load.precision)
        lines.append(
            f"{head} {rival} | {spread(rate, ',.0f')} | {rate['median'] / plain:.3f} | {share:.1%} | "
            f"{cold_start(result)} | {result['peak_memory_mib']:,.0f} |"
        )
    return lines


def _peak(record: dict[str, Any], precision: str) -> float:
    """The data sheet's where the device is known, else what one large product reaches."""
    known = peak_flops(_device(record), "bf16" if precision == "bf16-mixed" else "fp32")
    return record.get("product_flops", float("nan")) if known is None else known


def _device(record: dict[str, Any]) -> str:
    """What `hardware` says before the first comma."""
    return record["hardware"].partition(",")[0]


def _about_the_peak(record: dict[str, Any]) -> str:
    if peak_flops(_device(record), "bf16") is not None:
        return "Share of peak: model FLOPs utilisation, by the peaks of `src/superdyn/models/decoder/hardware.py`."
    speed = record.get("product_flops", float("nan")) / 1e9
    return f"Share of peak: of the {speed:,.0f} GFLOP/s that one large product of float32 matrices reaches here."
