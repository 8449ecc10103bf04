"""superdyn itself on language models: the engine alone, and whole runs with callbacks, files and offline W&B."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from superdyn.bench.language_workload import LanguageWorkload
from superdyn.features.datamodule import FeatureDataModule
from superdyn.features.tokens.batch import TokenBatch
from superdyn.runs.folder import RunFolder
from superdyn.sweeps.points import Point
from superdyn.sweeps.sweep import run_sweep
from superdyn.training.engine import Engine
from superdyn.training.module import SuperpositionModule
from superdyn.training.threads import cpu_threads, keep_freed_memory

_ENDLESS = 10**6
"""Steps that a training which is only timed could have."""


class LanguagePack:
    """All runs of a workload together."""

    def __init__(self, workload: LanguageWorkload, device: str):
        self.workload, self.device = workload, device
        self._module: SuperpositionModule | None = None

    def whole(self, steps: int) -> None:
        """Train every run for so many steps, as `superdyn train` does."""
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            self.curves(steps, Path(folder))

    def curves(self, steps: int, folder: Path) -> list[dict[str, np.ndarray]]:
        """Train whole runs into a folder; the curve of each."""
        runs = range(self.workload.runs)
        configs = [self.workload.config(run, steps, self.device) for run in runs]
        points = [Point((), config, RunFolder(folder / config.signature()[:8])) for config in configs]
        run_sweep(points, folder)
        curves = [point.folder.curve() for point in points]
        return [curve for curve in curves if curve is not None]

    def steps_only(self, steps: int) -> None:
        """Draw and train, with neither measurements nor files; goes on from where it is."""
        module = self.module
        with cpu_threads(module.configs):
            last = module.step + steps
            for chunk in FeatureDataModule(module.configs, [0, last], module.step).train_dataloader():
                module.train_chunk(chunk)
            module.step = last
        if self.device == "cuda":
            torch.cuda.synchronize()

    def losses(self, batches: Sequence[TokenBatch]) -> list[float]:
        """The loss of every step of the first run on given batches (s, t), the same for all."""
        engine, found = self.module.engine, []
        assert isinstance(engine, Engine)
        for step, batch in enumerate(batches):
            packed = TokenBatch(*(part.expand(self.workload.runs, -1, -1).contiguous() for part in batch))
            loss, gradients = engine.objective.gradients(engine.student, packed)
            found.append(loss[0].item())
            engine.optimizer.update(gradients, engine.rates[step])
        return found

    @property
    def module(self) -> SuperpositionModule:
        """The pack on its device, made when it is first needed."""
        if self._module is None:
            keep_freed_memory()
            configs = [self.workload.config(run, _ENDLESS, self.device) for run in range(self.workload.runs)]
            self._module = SuperpositionModule(configs).to(self.device)
            self._module.on_fit_start()
        return self._module
