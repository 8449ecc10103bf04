"""The language rivals train one model, the command makes its record, and the table says what share of which peak."""

import json
import subprocess
import sys

import pytest

from superdyn.bench.language_equality import loss_differences
from superdyn.bench.language_table import table
from superdyn.bench.language_workload import LanguageWorkload, workloads


@pytest.mark.parametrize("accumulate", [1, 2])
def test_superdyn_and_a_plain_loop_reach_the_same_losses(accumulate):
    tiny = LanguageWorkload("tiny", 2, 32, 4, 96, 16, 8, accumulate, "bf16-mixed", lr=0.003)  # compared in float32
    differences = loss_differences(tiny, 10)
    assert differences.keys() == {"superdyn", "superdyn train"}
    assert max(differences.values()) < 1e-5, differences


def test_the_shape_of_gpt2_small_has_its_parameters():
    (gpt2,) = (load for load in workloads(False, "cuda") if load.size == "124M")
    assert gpt2.parameters == 124_439_808 + (50304 - 50257) * 768  # with the vocabulary rounded up


def test_the_table_takes_the_peak_of_a_known_device_and_else_that_of_a_product():
    load = LanguageWorkload("tiny", 2, 32, 4, 96, 16, 8, precision="bf16-mixed")
    speed = {"median": 1e6, "min": 9e5, "max": 2e6, "n": 5}
    result = {"tokens_per_s": speed, "cold_start_s": 1.0, "peak_memory_mib": 10.0}
    entry = {"workload": load.as_mapping(), "parameters": 10**6, "token_flops": 10**8}
    record = {
        "command": "scripts/bench --language", "hardware": "NVIDIA H200, 16 CPU cores (x86_64)", "versions": "",
        "equality_steps": 20, "loss_difference": {"superdyn": 1e-7}, "rounded_loss_difference": 1e-3,
        "product_flops": 1e14, "comparisons": [{**entry, "results": {"plain": result, "superdyn": {"error": "no"}}}],
    }  # fmt: skip
    shown = table(record)
    assert "| plain | 1,000,000 (900,000–2,000,000) | 1.000 | 10.1% | 1.0 | 10 |" in shown  # of 989.5 TFLOP/s
    assert "| superdyn | failed: no |" in shown
    assert "model FLOPs utilisation" in shown
    assert "| 100.0% |" in table(record | {"hardware": "2 CPU cores (x86_64)"})


@pytest.mark.slow
def test_the_command_writes_a_record(tmp_path):
    command = [sys.executable, "-m", "superdyn.bench.record", "--language", "--quick", "--out", "bench"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    (comparison,) = json.loads((tmp_path / "bench.json").read_text())["comparisons"]
    assert comparison["results"].keys() == {"plain", "superdyn", "superdyn train"}
    assert all(result["tokens_per_s"]["n"] >= 5 for result in comparison["results"].values())
    assert "superdyn train" in (tmp_path / "bench.md").read_text()
