"""One synthetic sweep with a failed, an interrupted and a missing run, and its report, for all tests."""

import json
from pathlib import Path

import pytest
from synthetic_sweep import ATTACK, MISSING, SMALL, add_run, run_config, write_sweep

from superdyn.report.page import write_report
from superdyn.runs.sweep_folder import SweepPoint, add_points


@pytest.fixture(scope="session")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_sweep(tmp_path_factory.mktemp("sweep"), SMALL)
    add_run(root, run_config("trained_embedding", (1.5, 0.0), 7, SMALL), state="failed", error=ATTACK)
    add_run(root, run_config("trained_embedding", (2.0, 1.0), 8, SMALL), state="interrupted")
    add_points(root, [SweepPoint("f" * 64, MISSING)])
    claim = {
        "claim": "sequential",
        "quantity": "alpha_long",
        "condition": "a = 2",
        "expected": "1.5 ± 0.1",
        "measured": 1.51,
        "low": 1.48,
        "high": 1.54,
        "verdict": "pass",
        "kind": "exact",
        "note": ATTACK,
    }
    (root / "claims.json").write_text(json.dumps([claim]))
    return root


@pytest.fixture(scope="session")
def page(sweep: Path) -> str:
    return write_report(sweep).read_text(encoding="utf-8")
