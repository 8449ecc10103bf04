"""`scripts/bench`: all competitors of a suite side by side, as JSON and as a table, written after every one of them.

First the losses of all competitors on the same batches, then each one alone in a fresh process. Speeds are medians of
five, with the least and the greatest. The suites are toy students and, with `--language`, language models. The same
command goes on with a record that was cut off, on the same hardware with the same versions.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superdyn.bench import language, language_table, students, table
from superdyn.bench.hardware import hardware, versions
from superdyn.bench.one import alone

Facts = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class Suite:
    """What a record of one kind holds.

    Attributes:
        name: the module whose `job` a fresh process asks for.
        unit: of the speeds.
        tasks: (workload, competitor) in the order of measuring, the most telling first.
        one_by_one: competitors that train one run after the other, measured at R = 1, their speed at every R.
        described: what an entry says of its workload.
        before, after: facts that are measured before and after the competitors.
    """

    name: str
    unit: str
    tasks: Callable[[bool, str], list[tuple[dict[str, Any], str]]]
    one_by_one: tuple[str, ...]
    described: Callable[[dict[str, Any]], dict[str, Any]]
    before: Callable[[bool, str], Facts]
    after: Callable[[bool, str], Facts]


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--language", action="store_true", help="language models against a plain PyTorch loop")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--quick", action="store_true", help="the smallest workloads only")
    parser.add_argument("--out", default="bench", help="writes OUT.json and OUT.md; goes on with what is in OUT.json")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin nothing after so many minutes")
    options = parser.parse_args()
    module, drawn = (language, language_table.table) if options.language else (students, table.table)
    suite = Suite(
        module.__name__.rpartition(".")[2], module.UNIT, module.tasks, module.ONE_BY_ONE, module.described,
        module.facts_before, module.facts_after,
    )  # fmt: skip
    head = {"hardware": hardware(options.device), "versions": versions()}
    command = " ".join(["scripts/bench", *sys.argv[1:]])
    out, deadline = Path(options.out), time.monotonic() + 60 * options.minutes
    record = {"command": command} | begun(out.with_suffix(".json"), head)
    text = drawn(record)
    for grown in growing(record, suite, options.quick, options.device, deadline):
        text = drawn(grown)
        _write(out.with_suffix(".json"), json.dumps(grown, indent=1) + "\n")
        _write(out.with_suffix(".md"), text)
    print(text)


def begun(path: Path, head: dict[str, str]) -> dict[str, Any]:
    """The record that is there, where it has this head, else a new one.

    Raises:
        SystemExit: there is a record of another machine, other code or other versions.
    """
    if not path.exists():
        return head | {"comparisons": []}
    record = json.loads(path.read_text())
    for key, value in head.items():
        if record[key] != value:
            sys.exit(
                f"{path}: has {key}={record[key]!r}, and here it is {value!r}; delete it, or name another --out, to "
                "begin a new record."
            )
    return record


def growing(
    record: dict[str, Any], suite: Suite, quick: bool, device: str, deadline: float
) -> Iterator[dict[str, Any]]:
    """The record after everything that is added to it; failed competitors are tried again, the others kept."""

    def measured(facts: Facts) -> Iterator[dict[str, Any]]:
        for name, measure in facts.items():
            if name not in record and time.monotonic() < deadline:
                record[name] = measure()
                yield record

    yield from measured(suite.before(quick, device))
    for workload, rival in suite.tasks(quick, device):
        results = _entry(record, suite, workload)["results"]
        done = "error" not in results.get(rival, {"error": ""})
        if workload["runs"] > 1 and rival in suite.one_by_one:
            single = _entry(record, suite, workload | {"runs": 1})["results"]
            results |= {rival: single[rival]} if rival in single else {}
        elif not done and time.monotonic() < deadline:
            results[rival] = alone(suite.name, rival, workload, device, suite.unit)
        yield record
    yield from measured(suite.after(quick, device))


def _entry(record: dict[str, Any], suite: Suite, workload: dict[str, Any]) -> dict[str, Any]:
    """The place of a workload in the record."""
    for entry in record["comparisons"]:
        if entry["workload"] == workload:
            return entry
    record["comparisons"].append({"workload": workload, **suite.described(workload), "results": {}})
    return record["comparisons"][-1]


def _write(path: Path, text: str) -> None:
    """Whole or not at all: the process may be killed at any time."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(text)
    os.replace(temporary, path)


if __name__ == "__main__":
    main()
