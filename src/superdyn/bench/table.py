"""A record of the toy students as a Markdown table."""

from typing import Any

from superdyn.bench.workload import Workload


def flops_per_step(workload: Workload) -> float:
    """Multiplications and additions of one run-step with dense x, forward and backward, none for the data."""
    s, n, k = workload.batch_size, workload.n_features, workload.width
    return 2.0 * s * (5 * n * k + 3 * k * k)


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = [
        f"Command: `{record['command']}`. {record['hardware']}. {record['versions']}.",
        "",
        f"Largest relative difference of 30 losses from the plain loop's, on the same batches: {differences(record)}.",
        "",
        "| R | N | K | batch | competitor | run-steps/s, median (min–max) | superdyn is | cold start, s | peak MiB "
        "| 5,000 steps of all runs, s | share of peak |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for entry in record["comparisons"]:
        if "grid_width" in entry["workload"]:
            continue
        if entry["workload"]["runs"] == 1 or any("superdyn" in r or "jax" in r for r in entry["results"]):
            lines += _rows(entry, record.get("peak_flops", float("nan")))
    return "\n".join([*lines, *about_cold_starts(record), *_grid(record), *_tax(record), *_exact(record)]) + "\n"


def _rows(entry: dict[str, Any], peak: float) -> list[str]:
    w, lines = Workload(**entry["workload"]), []
    ours = entry["results"].get("superdyn", {}).get("run_steps_per_s", {}).get("median")
    for rival, result in entry["results"].items():
        head = f"| {w.runs} | {w.n_features} | {w.width} | {w.batch_size} | {rival} |"
        if "error" in result:
            lines.append(f"{head} failed: {result['error'][:80]} | | | | | |")
            continue
        rate = result["run_steps_per_s"]
        grid = result["cold_start_s"] + 5000 * w.runs / rate["median"]
        share = rate["median"] * flops_per_step(w) / peak
        times = "–" if ours is None else f"{ours / rate['median']:.2f}×"
        lines.append(
            f"{head} {spread(rate, ',.0f')} | {times} | "
            f"{cold_start(result)} | {result['peak_memory_mib']:,.0f} | {grid:,.0f} | {share:.0%} |"
        )
    return lines


def differences(record: dict[str, Any]) -> str:
    """Of the losses of all competitors."""
    found = record.get("loss_difference", {})
    return ", ".join(f"{name} {value:.1g}" for name, value in found.items()) or "not measured here"


def cold_start(result: dict[str, Any]) -> str:
    """Seconds, and how many competitors started together."""
    together = result.get("prepared_together", 1)
    return f"{result['cold_start_s']:.1f}" + (f" ({together} at once)" if together > 1 else "")


def about_cold_starts(record: dict[str, Any]) -> list[str]:
    """What those of competitors that started together are."""
    results = [result for entry in record["comparisons"] for result in entry["results"].values()]
    if not any("prepared_together" in result for result in results):
        return []
    return [
        "",
        "A cold start of so many “at once” is not that of one alone: they started together, on the same cores and GPU, "
        "and were then measured one by one.",
    ]


def _grid(record: dict[str, Any]) -> list[str]:
    """What the packs of the autoencoders' grid take, and by them the whole grid."""
    packs = {e["workload"]["grid_width"]: e["results"]["superdyn"] for e in record["comparisons"] if _is_grid_pack(e)}
    if len(packs) < 2:
        return []
    from superdyn.bench.grid import whole_grid  # which composes configurations, and few records need

    grid = whole_grid({width: result["run_steps_per_s"]["median"] for width, result in packs.items()})
    rows = [
        f"{grid['members']} autoencoders of width {width} take {_milliseconds(result, grid['members'])} ms a step "
        f"(cold start {cold_start(result)} s, {result['peak_memory_mib']:,.0f} MiB)"
        for width, result in packs.items()
    ]
    return [
        "",
        f"Of the grid of autoencoders, {' and '.join(rows)}; evenly between them, {grid['max_steps']:,} steps of all "
        f"{len(grid['widths'])} widths take {grid['minutes']:.1f} minutes.",
    ]


def _is_grid_pack(entry: dict[str, Any]) -> bool:
    return "grid_width" in entry["workload"] and "error" not in entry["results"].get("superdyn", {"error": ""})


def _milliseconds(result: dict[str, Any], members: int) -> str:
    rate = result["run_steps_per_s"]
    return f"{1e3 * members / rate['median']:.2f} ({1e3 * members / rate['max']:.2f}–{1e3 * members / rate['min']:.2f})"


def _tax(record: dict[str, Any]) -> list[str]:
    if "lightning_tax" not in record:
        return []
    tax = record["lightning_tax"]
    return [
        "",
        f"Lightning's tax (N = 64, R = 1, every callback and offline W&B, {tax['steps']:,} steps): the wall time is "
        f"{spread(tax['ratio'], '.2f')} times that of the plain loop, n = {tax['ratio']['n']}.",
    ]


def _exact(record: dict[str, Any]) -> list[str]:
    if "exact_against_sampled" not in record:
        return []
    return [
        "",
        "How many times as fast as a sampled step an exact one is, median (min–max):",
        "",
        "| linear student, N = 1024, batch 256 | K | against sparse batches | against dense batches |",
        "|---|---|---|---|",
        *(
            f"| {row['student']} | {row['width']} | {spread(row['sparse'], '.2f')} | {spread(row['dense'], '.2f')} |"
            for row in record["exact_against_sampled"]
        ),
    ]


def spread(summary: dict[str, Any], form: str) -> str:
    """Median and, in brackets, least and greatest."""
    return f"{summary['median']:{form}} ({summary['min']:{form}}–{summary['max']:{form}})"
