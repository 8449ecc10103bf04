"""A record grows by one competitor at a time, is on disk after each, and goes on where it was cut off."""

import importlib.util
import json
import math
from types import SimpleNamespace

import pytest

from superdyn.bench import language, language_table, record, students, table

RATE = {"median": 1.0, "min": 1.0, "max": 1.0, "n": 1}


def suite(module):
    facts = {
        "facts_before": lambda *_: {"product": lambda: 1.0},
        "facts_after": lambda *_: {},
        "facts_beside": lambda *_: {},
    }
    return SimpleNamespace(**vars(module) | facts)


def grown(module, begun, deadline, device="cuda"):
    *_, last = record.growing(begun, suite(module), False, device, deadline)
    return last


@pytest.mark.parametrize(("module", "drawn"), [(students, table.table), (language, language_table.table)])
def test_competitors_that_are_done_are_kept_and_those_that_failed_tried_again(module, drawn, monkeypatch):
    begun = {"command": "", "hardware": "NVIDIA H200, 16 CPU cores", "versions": "", "comparisons": []}
    asked = []

    def together(_, unit, device, group, deadline):
        for workload, rival in group:
            asked.append((rival, workload))
            failed = {"error": "no"} if len(asked) == 1 else {}
            result = {unit: RATE, "cold_start_s": 1.0, "peak_memory_mib": 1.0, "prepared_together": len(group)}
            yield (workload, rival), result | failed

    monkeypatch.setattr(record, "together", together)
    whole = grown(module, begun, math.inf)
    first, n_asked = asked[0], len(asked)
    assert "failed: no" in drawn(whole)
    again = grown(module, json.loads(json.dumps(whole)), math.inf)
    assert asked[n_asked:] == [first]
    assert "failed" not in drawn(again)
    assert "| 1.0 (3 at once) |" in drawn(again) or "| 1.0 (20 at once) |" in drawn(again)
    assert "is not that of one alone" in drawn(again)
    assert again["product"] == 1.0


def test_only_what_is_chosen_is_measured(monkeypatch):
    def together(_, unit, device, group, deadline):
        yield from (((load, rival), {unit: RATE, "cold_start_s": 1.0, "peak_memory_mib": 1.0}) for load, rival in group)

    monkeypatch.setattr(record, "together", together)
    only = [{"runs": "64", "n_features": "128"}, {"grid_width": "10"}]
    *_, last = record.growing({"comparisons": []}, suite(students), False, "cuda", math.inf, only=only)
    loads = [entry["workload"] for entry in last["comparisons"]]
    measured = {
        load.get("grid_width", load.get("runs")): set(e["results"])
        for load, e in zip(loads, last["comparisons"], strict=True)
    }
    assert measured.keys() == {64, 1, 10}
    loops = set(students.ONE_BY_ONE)
    assert measured[64] >= {"superdyn", *loops}  # measured at R = 1, which is their speed at every R
    assert measured[1] == loops
    assert all(load.get("n_features", 128) == 128 for load in loads)
    with pytest.raises(SystemExit, match=r"--only runs=3: no competitor .* the keys are .*n_features.*runs"):
        record.chosen(students.tasks(False, "cuda"), [{"runs": "3"}])


def test_after_the_deadline_nothing_is_begun():
    assert not any(e["results"] for e in grown(students, {"comparisons": []}, -math.inf)["comparisons"])


def gpu_groups(module):
    todo = record._missing({"comparisons": []}, suite(module), module.tasks(False, "cuda"))
    named = ("size", "grid_width")
    return [
        [
            (rival, next((load[name] for name in named if name in load), None) or (load["runs"], load["n_features"]))
            for load, rival in group
        ]
        for group in record._groups(todo, lambda load: module.at_once(load, "cuda"))
    ]


def test_what_tells_most_is_measured_first(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)  # as if JAX were installed
    first, *others = gpu_groups(students)
    assert first[:2] == [("superdyn", (64, 128)), ("jax", (64, 128))]
    assert set(first[3:7]) == {(r, (1, 128)) for r in ("plain", "plain tuned", "lightning", "lightning tuned")}
    assert first[7:10] == [(r, (1, 1024)) for r in ("superdyn", "plain tuned", "jax")]
    assert first[-2:] == [("superdyn", 10), ("superdyn", 100)]
    assert all(len(group) <= 20 for group in [first, *others])
    assert len(set(students_tasks := [str(task) for task in students.tasks(False, "cuda")])) == len(students_tasks)


def test_large_language_models_get_ready_in_smaller_groups():
    groups = gpu_groups(language)
    assert set(groups[0]) == {(r, "124M") for r in ("plain", "superdyn", "plain, compiled whole")}
    assert [len(group) for group in groups] == [3, 3, 2, 2, 2]
    assert groups[2] == [("superdyn", "300M"), ("plain, compiled whole", "300M")]


def test_on_a_cpu_every_competitor_is_alone():
    assert {m.at_once(load, "cpu") for m in (students, language) for load, _ in m.tasks(False, "cpu")} == {1}


def test_a_record_of_another_machine_is_not_gone_on_with(tmp_path):
    path, here = tmp_path / "bench.json", {"hardware": "NVIDIA H100", "versions": "torch 2.13"}
    assert record.begun(path, here) == here | {"comparisons": []}
    path.write_text(json.dumps(here | {"comparisons": [1]}))
    assert record.begun(path, here)["comparisons"] == [1]
    with pytest.raises(SystemExit, match="'NVIDIA H100', and here it is 'NVIDIA H200'"):
        record.begun(path, here | {"hardware": "NVIDIA H200"})
