"""A record grows by one competitor at a time, is on disk after each, and goes on where it was cut off."""

import json
import math

import pytest

from superdyn.bench import language, language_table, record, students, table
from superdyn.bench.timing import Job, rates

RATE = {"median": 1.0, "min": 1.0, "max": 1.0, "n": 1}


def suite(module):
    facts = {"before": lambda *_: {"product": lambda: 1.0}, "after": lambda *_: {}}
    return record.Suite("none", module.UNIT, module.tasks, module.ONE_BY_ONE, module.described, **facts)


def grown(module, begun, deadline, device="cuda"):
    *_, last = record.growing(begun, suite(module), False, device, deadline)
    return last


@pytest.mark.parametrize(("module", "drawn"), [(students, table.table), (language, language_table.table)])
def test_competitors_that_are_done_are_kept_and_those_that_failed_tried_again(module, drawn, monkeypatch):
    begun = {"command": "", "hardware": "NVIDIA H200, 16 CPU cores", "versions": "", "comparisons": []}
    asked = []

    def alone(_, rival, workload, device, unit):
        asked.append((rival, workload["runs"]))
        failed = {"error": "no"} if len(asked) == 1 else {}
        return {unit: RATE, "cold_start_s": 1.0, "peak_memory_mib": 1.0, **failed}

    monkeypatch.setattr(record, "alone", alone)
    whole = grown(module, begun, math.inf)
    first, n_asked = asked[0], len(asked)
    assert "failed: no" in drawn(whole)
    again = grown(module, json.loads(json.dumps(whole)), math.inf)
    assert asked[n_asked:] == [first]
    assert "failed" not in drawn(again)
    assert again["product"] == 1.0


def test_after_the_deadline_nothing_is_begun():
    assert not any(e["results"] for e in grown(students, {"comparisons": []}, -math.inf)["comparisons"])


def test_what_tells_most_is_measured_first():
    rivals = [rival for _, rival in students.tasks(False, "cuda")]
    assert set(rivals[:12]) <= {"superdyn", "plain tuned", "jax"}
    loads, rivals = zip(*language.tasks(False, "cuda"), strict=True)
    assert loads[0]["size"] == "124M"
    assert set(rivals[:3]) == {"plain", "superdyn", "plain, compiled whole"}


def test_a_record_of_another_machine_is_not_gone_on_with(tmp_path):
    path, here = tmp_path / "bench.json", {"hardware": "NVIDIA H100", "versions": "torch 2.13"}
    assert record.begun(path, here) == here | {"comparisons": []}
    path.write_text(json.dumps(here | {"comparisons": [1]}))
    assert record.begun(path, here)["comparisons"] == [1]
    with pytest.raises(SystemExit, match="'NVIDIA H100', and here it is 'NVIDIA H200'"):
        record.begun(path, here | {"hardware": "NVIDIA H200"})


def test_no_repetition_is_begun_after_the_limit():
    job = Job(lambda steps: None, 1.0, whole=10)
    assert len(rates(job, 0.0, 5)) == 5
    assert len(rates(job, 0.0, 5, limit=-1.0)) == 1
