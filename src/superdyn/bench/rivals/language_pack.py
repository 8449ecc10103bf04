"""superdyn itself on language models: the engine alone, and whole runs with callbacks, files and offline W&B."""

from collections.abc import Sequence

import torch

from superdyn.bench.rivals.pack import Pack
from superdyn.features.datamodule import FeatureDataModule
from superdyn.features.tokens.batch import TokenBatch
from superdyn.training.engine import Engine
from superdyn.training.module import SuperpositionModule
from superdyn.training.threads import cpu_threads

_ENDLESS = 10**6
"""Steps that a training which is only timed could have."""


class LanguagePack(Pack):
    """All runs of a language workload together."""

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

    def token_losses(self, batches: Sequence[TokenBatch]) -> list[float]:
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
            self._module = self.made(_ENDLESS)
        return self._module
