"""superdyn itself: the runs as one sweep with everything on, run folders, callbacks and offline W&B included.

Axis legend: `t` step, `r` run, `s` sample, `n` feature.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from superdyn.bench.workload import Workload
from superdyn.config import RunConfig
from superdyn.features.batches import SparseBatch
from superdyn.features.datamodule import FeatureDataModule
from superdyn.runs.folder import RunFolder
from superdyn.sweeps.points import Point
from superdyn.sweeps.sweep import run_sweep
from superdyn.training.engine import Engine
from superdyn.training.module import SuperpositionModule
from superdyn.training.threads import cpu_threads, keep_freed_memory


class Pack:
    """All runs of a workload together."""

    def __init__(self, workload: Workload, device: str):
        self.workload, self.device = workload, device

    def train(self, steps: int) -> None:
        """Train every run for so many steps, as `superdyn train -m` does."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            configs = [self._config(run, steps) for run in range(self.workload.runs)]
            points = [Point((), c, RunFolder(Path(folder) / c.signature()[:8])) for c in configs]
            run_sweep(points, Path(folder))

    def steps_only(self, steps: int) -> None:
        """Draw and train, with neither measurements nor files: what the other rivals do."""
        configs = [self._config(run, steps) for run in range(self.workload.runs)]
        keep_freed_memory()
        module = SuperpositionModule(configs).to(self.device)
        module.on_fit_start()
        with cpu_threads(configs):
            for chunk in FeatureDataModule(configs, [0, steps]).train_dataloader():
                module.train_chunk(chunk)
        if self.device == "cuda":
            torch.cuda.synchronize()

    def losses(self, batches: Float[np.ndarray, "t r s n"]) -> Float[np.ndarray, "t r"]:
        """The loss of every step on given batches."""
        engine = Engine([self._config(run, len(batches)) for run in range(self.workload.runs)])
        engine.prepare()
        losses = []
        for step, x in enumerate(batches):
            batch = SparseBatch(x.shape, torch.from_numpy(x), None)
            losses.append(engine.objective.gradients(engine.student, batch).loss.numpy().copy())
            engine.run_step(step, batch)
        return np.stack(losses)

    def _config(self, run: int, steps: int) -> RunConfig:
        mapping = self.workload.config(run).to_mapping()
        mapping["trainer"] |= {"max_steps": steps, "accelerator": "gpu" if self.device == "cuda" else "cpu"}
        mapping["logger"] = {"name": "wandb"}
        return RunConfig.from_mapping(mapping)
