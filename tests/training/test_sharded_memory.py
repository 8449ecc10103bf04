"""Estimated memory of sharded language models against the peak of each of two ranks that train them."""

import json
import subprocess
import sys

import pytest
from training.test_token_memory import WIDE, peak_bytes

from superdyn.training.memory import RUNTIME_BYTES, token_bytes

RANK = """
import json, os, sys
from pathlib import Path
from superdyn.config import RunConfig
from superdyn.runs.folder import RunFolder
from superdyn.sweeps.points import Point
from superdyn.sweeps.sweep import run_sweep

folder = Path(sys.argv[2])
run_sweep([Point((), RunConfig.from_mapping(json.loads(sys.argv[1])), RunFolder(folder / "run"))], folder)
peak = Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]
(folder / f"peak-{os.environ['RANK']}").write_text(peak)
"""
"""One rank of a training; writes the peak of its resident memory in KiB."""

RANKS = {"trainer__devices": 2, "trainer__strategy": "fsdp", "data__batch_size": 16}
CASES = {
    "wide": {"model__width": 768, "model__decoder": {"n_layers": 6, "context": 128}, "data__batch_size": 4},
    "wide, Muon": {
        "model__width": 768, "model__decoder": {"n_layers": 6, "context": 128}, "data__batch_size": 4,
        "optimizer__name": "muon",
    },
    "large vocabulary, untied": {"data__n_features": 50304, "data__batch_size": 4, "model__tied": False},
    "many tokens, rounded": {"data__batch_size": 128, "trainer__precision": "bf16-mixed"},
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_estimate_is_near_what_each_rank_takes(case, make_config, tmp_path):
    config = make_config(**{**WIDE, **RANKS, **CASES[case]})
    (tmp_path / "rank.py").write_text(RANK)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    subprocess.run([*torchrun, tmp_path / "rank.py", json.dumps(config.to_mapping()), tmp_path], check=True)
    assert json.loads((tmp_path / "run" / "status.json").read_text())["state"] == "done"
    for rank in range(2):
        taken = 1024 * int((tmp_path / f"peak-{rank}").read_text()) - peak_bytes([])
        assert 0.9 * taken < RUNTIME_BYTES + token_bytes(config) < 1.7 * taken
