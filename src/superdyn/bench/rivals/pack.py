"""superdyn itself: the runs as one sweep with everything on, run folders, callbacks and offline W&B; or its engine.

Axis legend: `t` step, `r` run, `s` sample, `n` feature.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from superdyn.bench.grid import GridWorkload
from superdyn.bench.language_workload import LanguageWorkload
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

    def __init__(self, workload: Workload | LanguageWorkload | GridWorkload, device: str):
        self.workload, self.device = workload, device
        self._module: SuperpositionModule | None = None

    def train(self, steps: int) -> None:
        """Train every run for so many steps, as `superdyn train -m` does."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            self.trained(steps, Path(folder))

    def trained(self, steps: int, folder: Path) -> list[RunFolder]:
        """The folders of whole runs, in this one."""
        points = [Point((), c, RunFolder(folder / c.signature()[:8])) for c in self.configs(steps)]
        run_sweep(points, folder)
        return [point.folder for point in points]

    def configs(self, steps: int) -> list[RunConfig]:
        """Those of the runs."""
        return [self.workload.config(run, steps, self.device) for run in range(self.workload.runs)]

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
            self._module = self.made(min(steps, _MOST_STEPS) if self.device == "cpu" else _MOST_STEPS)
        return self._module

    def made(self, steps: int) -> SuperpositionModule:
        """The runs on the device, ready to train so many steps."""
        keep_freed_memory()
        module = SuperpositionModule(self.configs(steps)).to(self.device)
        module.on_fit_start()
        return module

    def losses(self, batches: Float[np.ndarray, "t r s n"]) -> Float[np.ndarray, "t r"]:
        """The loss of every step on given batches."""
        engine = Engine(self.configs(len(batches)))
        engine.prepare()
        losses = []
        for step, x in enumerate(batches):
            batch = SparseBatch(x.shape, torch.from_numpy(x), None)
            losses.append(engine.objective.gradients(engine.student, batch).loss.numpy().copy())
            engine.run_step(step, batch)
        return np.stack(losses)
