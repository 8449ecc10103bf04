"""A large finished sweep without training it: one run is trained, and its files stand for those of all the others.

Every run has a configuration, signature, checkpoint, manifest, status and environment of its own, as a launch of the
grid `data.data_exponent × seed` leaves them.
"""

import json
import shutil
from pathlib import Path

from superdyn.config import RunConfig
from superdyn.runs.checkpoints import checkpoint_steps, load_checkpoint, save_checkpoint
from superdyn.runs.folder import RunFolder
from superdyn.runs.manifest import seal
from superdyn.runs.sweep_folder import SweepPoint, add_points, run_folder_name, run_folders

EXPONENTS = ("1.2", "1.4", "1.6", "1.8")


def grid(n_runs: int, **settings: str) -> list[str]:
    """Overrides of `n_runs` runs."""
    seeds = n_runs // len(EXPONENTS)
    overrides = [f"data.data_exponent={','.join(EXPONENTS)}", f"seed=range({seeds})"]
    return overrides + [f"{key}={value}" for key, value in settings.items()]


def multiply(sweep: Path, n_runs: int) -> None:
    """Fill the sweep folder of one finished run with `n_runs` of other exponents and seeds."""
    (example,) = run_folders(sweep)
    mapping, status, environment = example.config(), example.status(), example.environment()
    assert mapping is not None
    assert status is not None
    assert environment is not None
    (sweep / "sweep.json").unlink()
    *_, step = checkpoint_steps(example.checkpoints)
    checkpoint = load_checkpoint(example.checkpoints, step)
    assert checkpoint is not None
    points = []
    for exponent in EXPONENTS:
        for seed in range(n_runs // len(EXPONENTS)):
            data = {**mapping["data"], "data_exponent": float(exponent)}
            config = RunConfig.from_mapping({**mapping, "data": data, "seed": seed})
            swept = {"data.data_exponent": exponent, "seed": str(seed)}
            signature = config.signature()
            run = RunFolder(sweep / run_folder_name(swept, signature))
            run.path.mkdir()
            run.write_config(config.to_mapping())
            for name in ("curve.parquet", "spectrum.parquet", "result.json"):
                shutil.copyfile(example.path / name, run.path / name)
            stamp = {"signature": signature, "name": run.name}
            (run.path / "status.json").write_text(json.dumps(status.stamped() | stamp | {"state": "done"}))
            (run.path / "environment.json").write_text(json.dumps(environment | {"started": str(seed)}, indent=2))
            save_checkpoint(run.checkpoints, step, checkpoint.state, {"signature": signature})
            seal(run.path, signature)
            overrides = tuple(f"{key}={value}" for key, value in swept.items())
            points.append(SweepPoint(signature, run.name, overrides))
    shutil.rmtree(example.path)
    add_points(sweep, points)
