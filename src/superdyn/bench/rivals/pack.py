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

_MOST_STEPS = 2**17
"""For which a table of learning rates is made; a longer training, of one rate, begins the count of its steps again."""


class Pack:
    """All runs of a workload together."""

    def __init__(self, workload: Workload, device: str):
        self.workload, self.device = workload, device
        self._module: SuperpositionModule | None = None

    def train(self, steps: int) -> None:
        """Train every run for so many steps, as `superdyn train -m` does."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            configs = [self._config(run, steps) for run in range(self.workload.runs)]
            points = [Point((), c, RunFolder(Path(folder) / c.signature()[:8])) for c in configs]
            run_sweep(points, Path(folder))

    def steps_only(self, steps: int) -> None:
        """Draw and train, with neither measurements nor files: what the other rivals do.

        On a GPU the pack goes on from where its parameters are: it is compiled once, as theirs are.
        """
        module = self._ready(steps)
        with cpu_threads(module.configs):
            for first in range(0, steps, _MOST_STEPS):
                chunks = FeatureDataModule(module.configs, [0, min(steps - first, _MOST_STEPS)]).train_dataloader()
                for chunk in chunks:
                    module.train_chunk(chunk)
        if self.device == "cuda":
            torch.cuda.synchronize()

    def _ready(self, steps: int) -> SuperpositionModule:
        if self._module is None or self.device == "cpu":
            keep_freed_memory()
            most = min(steps, _MOST_STEPS) if self.device == "cpu" else _MOST_STEPS
            configs = [self._config(run, most) for run in range(self.workload.runs)]
            self._module = SuperpositionModule(configs).to(self.device)
            self._module.on_fit_start()
        return self._module

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
