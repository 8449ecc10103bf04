"""Twenty thousand features on the CPU, within 4 GiB."""

import json
import subprocess
import sys

import pytest

PROGRAM = """
import json, resource, sys
from pathlib import Path
import torch
from superdyn.config import RunConfig
from superdyn.runs.folder import RunFolder
from superdyn.sweeps.points import Point
from superdyn.sweeps.sweep import run_sweep

activation, folder = sys.argv[1:]
config = RunConfig.from_mapping({
    "data": {"n_features": 20_000, "data_exponent": 1.2, "importance_exponent": 0.3},
    "model": {"name": "trained_embedding", "width": 512, "activation": activation, "core_init_scale": 0.5},
    "optimizer": {"name": "sgd", "lr": 0.1},
    "trainer": {"max_steps": 10, "progress": False},
})
run_sweep([Point((), config, RunFolder(Path(folder) / "run"))], Path(folder))
losses = RunFolder(Path(folder) / "run").curve()["loss"].tolist()
print(json.dumps({"losses": losses, "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("activation", ["relu", "linear"])
def test_twenty_thousand_features_train_within_four_gibibytes(activation, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, activation, str(tmp_path)], capture_output=True, text=True, check=True
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["bytes"] < 4 * 2**30
    assert result["losses"][-1] < result["losses"][0]
