"""Stopping a training half-way."""

import pytest
from pytorch_lightning import Callback, Trainer


class StopAt(Callback):
    """Raises Ctrl-C at the end of the chunk that reaches a step."""

    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if pl_module.step >= self.step:
            raise KeyboardInterrupt


@pytest.fixture
def stop_at(monkeypatch):
    """Have every training stop at a step, until `stop_at.undo()`."""

    class Stop:
        undo = staticmethod(monkeypatch.undo)

        def __call__(self, step):
            fit = Trainer.fit
            monkeypatch.setattr(
                Trainer, "fit", lambda self, *a, **k: self.callbacks.append(StopAt(step)) or fit(self, *a, **k)
            )

    return Stop()
