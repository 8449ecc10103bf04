"""`scripts/bench`: all competitors of a suite side by side, as JSON and as a table, written after every one of them.

First the losses of all competitors on the same batches, then each one in a fresh process; on a GPU a group of them gets
ready at once. Speeds are medians of five, with the least and the greatest. The suites are toy students and, with
`--language`, language models. The same command goes on with a record that was cut off, on the same hardware with the
same versions.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from superdyn.atomic import write_text_atomically
from superdyn.bench import language, language_table, students, table
from superdyn.bench.hardware import hardware, versions
from superdyn.bench.together import Task, together

Facts = dict[str, Callable[[], Any]]

Suite = Any
"""`students.py`, `language.py`, or a module like them, of which fresh processes ask for a `job`: `UNIT` of the speeds;
`tasks`, (workload, competitor) in the order of measuring, the most telling first; `at_once`, how many may get ready
together; `ONE_BY_ONE`, competitors that train one run after the other and are measured at R = 1, their speed at every
R; `described`, what an entry says of its workload; `facts_before` and `facts_after`, measured before and after the
competitors, and `facts_beside`, found in a process beside the first of them."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--language", action="store_true", help="language models against a plain PyTorch loop")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--quick", action="store_true", help="the smallest workloads only")
    parser.add_argument("--out", default="bench", help="writes OUT.json and OUT.md; goes on with what is in OUT.json")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="after them begin nothing")
    parser.add_argument(
        "--only", action="append", default=[], metavar="KEY=VALUE,…", type=_choice,
        help="competitors and workloads that have these values, such as runs=64,n_features=128,rival=superdyn; "
        "several times: those of any",
    )  # fmt: skip
    parser.add_argument("--alone", action="store_true", help="on a GPU too, get ready one by one: true cold starts")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what it started is ended
    suite, drawn = (language, language_table.table) if options.language else (students, table.table)
    head = {"hardware": hardware(options.device), "versions": versions()}
    command = " ".join(["scripts/bench", *sys.argv[1:]])
    out, deadline = Path(options.out), time.monotonic() + 60 * options.minutes
    record = {"command": command} | begun(out.with_suffix(".json"), head)
    text = drawn(record)
    choice = {"only": options.only, "alone": options.alone}
    for grown in growing(record, suite, options.quick, options.device, deadline, **choice):
        text = drawn(grown)
        for suffix, content in ((".json", json.dumps(grown, indent=1) + "\n"), (".md", text)):
            write_text_atomically(out.with_suffix(suffix), content)
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


def _choice(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")]
    if not all(key and equals for key, equals, _ in pairs):
        raise argparse.ArgumentTypeError(f"{text!r}: wants KEY=VALUE, several with commas between them")
    return {key: value for key, _, value in pairs}


def chosen(tasks: Sequence[Task], only: Sequence[Mapping[str, str]]) -> list[Task]:
    """The tasks that have the values of any of these choices; all where there is none.

    Raises:
        SystemExit: a choice takes none.
    """
    known = [(task, {key: str(value) for key, value in (task[0] | {"rival": task[1]}).items()}) for task in tasks]
    for choice in only:
        if not any(choice.items() <= values.items() for _, values in known):
            keys = ", ".join(sorted({key for _, values in known for key in values}))
            asked = ",".join(f"{key}={value}" for key, value in choice.items())
            sys.exit(f"--only {asked}: no competitor has these values; the keys are {keys}")
    return [task for task, values in known if not only or any(choice.items() <= values.items() for choice in only)]


def growing(
    record: dict[str, Any],
    suite: Suite,
    quick: bool,
    device: str,
    deadline: float,
    *,
    only: Sequence[Mapping[str, str]] = (),
    alone: bool = False,
) -> Iterator[dict[str, Any]]:
    """The record after everything that is added to it; failed competitors are tried again, the others kept.

    Args:
        only: choices of competitors and workloads, see `chosen`.
        alone: no two competitors get ready together.
    """
    tasks = chosen(suite.tasks(quick, device), only)

    def measured(facts: Facts) -> Iterator[dict[str, Any]]:
        for name, measure in facts.items():
            if name not in record and time.monotonic() < deadline:
                record[name] = measure()
                yield record

    yield from measured(suite.facts_before(quick, device))
    pool = ProcessPoolExecutor(1, get_context("spawn"))
    beside = {name: pool.submit(fact) for name, fact in suite.facts_beside(quick, device).items() if name not in record}

    def finished() -> dict[str, Any]:
        return {name: found.result() for name, found in beside.items() if found.done()}

    _share(record, suite, tasks)
    yield record
    for group in _groups(_missing(record, suite, tasks), lambda load: 1 if alone else suite.at_once(load, device)):
        if time.monotonic() >= deadline:
            break
        for (workload, rival), result in together(suite.__name__, suite.UNIT, device, group, deadline):
            _entry(record, suite, workload)["results"][rival] = result
            _share(record, suite, tasks)
            record |= finished()
            yield record
    if late := finished():
        record |= late
        yield record
    pool.shutdown(wait=False, cancel_futures=True)
    yield from measured(suite.facts_after(quick, device))


def _missing(record: dict[str, Any], suite: Suite, tasks: Sequence[Task]) -> list[Task]:
    """What is to be measured and has not been, or has failed."""
    own: list[Task] = []
    for load, rival in tasks:
        task = (load | {"runs": 1}, rival) if "runs" in load and rival in suite.ONE_BY_ONE else (load, rival)
        own += [task] if task not in own else []
    results = [(_entry(record, suite, load)["results"].get(rival), (load, rival)) for load, rival in own]
    return [task for result, task in results if result is None or "error" in result]


def _share(record: dict[str, Any], suite: Suite, tasks: Sequence[Task]) -> None:
    """Give competitors that train one run after the other what was measured at R = 1, at every R."""
    for workload, rival in tasks:
        results = _entry(record, suite, workload)["results"]
        if workload.get("runs", 1) > 1 and rival in suite.ONE_BY_ONE:
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


if __name__ == "__main__":
    main()
