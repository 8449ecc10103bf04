"""PyTorch Lightning as its tutorial has it, one run after the other: DataLoader, automatic optimisation, W&B.

Tuned: the loader hands over whole batches, the loss is compiled, the optimizer fused, and the loss is logged every 50
steps. W&B runs offline. Axis legend: `s` sample, `n` feature.
"""

import logging
import tempfile
import warnings
from collections.abc import Iterator, Sequence

import pytorch_lightning as pl
import torch
import wandb
from pytorch_lightning.loggers import WandbLogger
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from superdyn.bench.rivals.plain import ToyModel, sample, sample_once, squared_error
from superdyn.bench.workload import Workload, initial_parameters


class Draws(IterableDataset[Tensor]):
    """Endless batches, or the given ones."""

    def __init__(self, workload: Workload, tuned: bool, batches: Tensor | None):
        self.workload, self.tuned, self.batches = workload, tuned, batches

    def __iter__(self) -> Iterator[Tensor]:
        if self.batches is not None:
            yield from self.batches
        draw, p = (sample_once if self.tuned else sample), torch.from_numpy(self.workload.probabilities)
        while True:
            yield draw(p, self.workload.batch_size)


class TutorialModule(pl.LightningModule):
    """`training_step` returns the loss and logs it; Lightning does the rest."""

    def __init__(self, workload: Workload, run: int, tuned: bool):
        super().__init__()
        self.model = ToyModel(initial_parameters(workload, run))
        self.register_buffer("importance", torch.from_numpy(workload.importance))
        self.workload, self.run, self.tuned = workload, run, tuned
        self.loss_of = torch.compile(self._loss) if tuned else self._loss
        self.losses: list[Tensor] = []

    def _loss(self, x: Tensor) -> Tensor:
        return squared_error(self.model(x), x, self.get_buffer("importance"))

    def training_step(self, x: Tensor, batch_idx: int) -> Tensor:
        loss = self.loss_of(x)
        if not self.tuned or batch_idx % 50 == 0:
            self.log("train_loss", loss)
        self.losses.append(loss.detach())
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        rule = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[self.workload.optimizer]
        options = {"fused": True} if self.tuned else {}
        return rule(self.parameters(), lr=self.workload.learning_rate(self.run), **options)


class LightningLoop:
    """One Trainer per run."""

    def __init__(self, workload: Workload, device: str, tuned: bool = False):
        self.workload, self.device, self.tuned = workload, device, tuned
        logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)

    def train(self, run: int, steps: int, batches: Tensor | None = None) -> Sequence[float]:
        """The loss of every step of one run."""
        module = TutorialModule(self.workload, run, self.tuned)
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trainer = pl.Trainer(
                max_steps=steps,
                max_epochs=-1,
                accelerator="gpu" if self.device == "cuda" else "cpu",
                devices=1,
                logger=WandbLogger(project="bench", save_dir=folder, offline=True),
                enable_progress_bar=not self.tuned,
                enable_model_summary=False,
                enable_checkpointing=False,
                default_root_dir=folder,
            )
            trainer.fit(module, DataLoader(Draws(self.workload, self.tuned, batches), batch_size=None))
            wandb.finish()
        return torch.stack(module.losses).tolist()
