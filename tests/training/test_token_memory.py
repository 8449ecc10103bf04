"""Estimated memory of language models against the peak of whole trainings, each in a fresh process."""

import json
import subprocess
import sys

import pytest
from training.token_runs import TOKENS

from superdyn.training.memory import RUNTIME_BYTES, token_bytes

TRAINED = """
import json, sys, tempfile
from pathlib import Path
from superdyn.config import RunConfig
from superdyn.runs.folder import RunFolder
from superdyn.sweeps.points import Point
from superdyn.sweeps.sweep import run_sweep
import superdyn.training.module

for mapping in json.loads(sys.argv[1]):
    with tempfile.TemporaryDirectory() as folder:
        run_sweep([Point((), RunConfig.from_mapping(mapping), RunFolder(Path(folder) / "run"))], Path(folder))
        assert RunFolder(Path(folder) / "run").status().state == "done"
print(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])
"""
"""Trains the given runs and prints the peak of resident memory in KiB; without runs, that of the imports."""

WIDE = {
    **TOKENS, "data__n_features": 1024, "data__length": 128,
    "model__width": 128, "model__decoder": {"n_layers": 4, "context": 128},
    "data__tokens": {"source": "zipf", "eval_tokens": 4096}, "trainer__max_steps": 3, "data__batch_size": 64,
}  # fmt: skip
CASES = {
    "many tokens": {},
    "large vocabulary": {"data__n_features": 50304, "data__batch_size": 4},
    "long context, deep, recomputed": {
        "data__length": 1024, "data__batch_size": 8, "model__decoder": {"n_layers": 12, "context": 1024},
        "trainer__checkpoint_activations": True,
    },
    "in parts, rounded": {"data__batch_size": 128, "trainer__accumulate": 2, "trainer__precision": "bf16-mixed"},
}  # fmt: skip


def peak_bytes(configs):
    mappings = json.dumps([config.to_mapping() for config in configs])
    done = subprocess.run([sys.executable, "-c", TRAINED, mappings], check=True, capture_output=True, text=True)
    return 1024 * int(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_estimate_is_near_what_a_whole_training_takes(case, make_config):
    config = make_config(**{**WIDE, **CASES[case]})
    taken = peak_bytes([config]) - peak_bytes([])
    assert 0.9 * taken < RUNTIME_BYTES + token_bytes(config) < 2 * taken


@pytest.mark.slow
def test_runs_one_after_the_other_take_hardly_more_than_one(make_config):
    config = make_config(**{**WIDE, "data__batch_size": 4, "model__width": 512})
    imports = peak_bytes([])
    assert peak_bytes([config] * 4) - imports < 1.25 * (peak_bytes([config]) - imports)
