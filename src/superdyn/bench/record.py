"""`scripts/bench`: all competitors of a suite side by side, as JSON and as a table, written after every one of them.

First the losses of all competitors on the same batches, then each one in a fresh process; on a GPU a group of them gets
ready at once. Speeds are medians of five, with the least and the greatest. The suites are toy students and, with
`--language`, language models. The same command goes on with a record that was cut off, on the same hardware with the
same versions.
"""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from superdyn.bench import language, language_table, students, table
from superdyn.bench.hardware import hardware, versions
from superdyn.bench.together import Task, together

Facts = dict[str, Callable[[], Any]]


@dataclass(frozen=True)
class Suite:
    """What a record of one kind holds.

    Attributes:
        name: the module whose `job` a fresh process asks for.
        unit: of the speeds.
        tasks: (workload, competitor) in the order of measuring, the most telling first.
        at_once: how many competitors may get ready together, by workload and device.
        one_by_one: competitors that train one run after the other, measured at R = 1, their speed at every R.
        described: what an entry says of its workload.
        before, after: facts that are measured before and after the competitors.
    """

    name: str
    unit: str
    tasks: Callable[[bool, str], list[Task]]
    at_once: Callable[[dict[str, Any], str], int]
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
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after them begin nothing")
    parser.add_argument("--alone", action="store_true", help="on a GPU too, get ready one by one: true cold starts")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what it started is ended
    module, drawn = (language, language_table.table) if options.language else (students, table.table)
    suite = Suite(
        module.__name__, module.UNIT, module.tasks, (lambda *_: 1) if options.alone else module.at_once,
        module.ONE_BY_ONE, module.described, module.facts_before, module.facts_after,
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
    tasks = suite.tasks(quick, device)
    _share(record, suite, tasks)
    yield record
    for group in _groups(_missing(record, suite, tasks), lambda workload: suite.at_once(workload, device)):
        if time.monotonic() >= deadline:
            break
        for (workload, rival), result in together(suite.name, suite.unit, device, group, deadline):
            _entry(record, suite, workload)["results"][rival] = result
            _share(record, suite, tasks)
            yield record
    yield from measured(suite.after(quick, device))


def _missing(record: dict[str, Any], suite: Suite, tasks: Sequence[Task]) -> list[Task]:
    """What is to be measured and has not been, or has failed."""
    own = [(load, rival) for load, rival in tasks if load["runs"] == 1 or rival not in suite.one_by_one]
    results = [(_entry(record, suite, load)["results"].get(rival), (load, rival)) for load, rival in own]
    return [task for result, task in results if result is None or "error" in result]


def _share(record: dict[str, Any], suite: Suite, tasks: Sequence[Task]) -> None:
    """Give competitors that train one run after the other what was measured at R = 1, at every R."""
    for workload, rival in tasks:
        results = _entry(record, suite, workload)["results"]
        if workload["runs"] > 1 and rival in suite.one_by_one:
            single = _entry(record, suite, workload | {"runs": 1})["results"]
            results |= {rival: single[rival]} if rival in single else {}


def _groups(tasks: Sequence[Task], at_once: Callable[[dict[str, Any]], int]) -> Iterator[list[Task]]:
    """Neighbouring tasks, no more of them in a group than each of them allows."""
    group: list[Task] = []
    for task in tasks:
        if group and len(group) >= min(at_once(workload) for workload, _ in [*group, task]):
            yield group
            group = []
        group.append(task)
    if group:
        yield group


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
