"""A pack that trains in milliseconds: N independent channels ds_i = η λ_i (1 − s_i), λ_i = 1/i.

It speaks the interface of the real module (`configs`, `step`, `member_state`, a measurement per chunk), so
that the run folder's code is tested with a real Trainer. A learning rate above 2 diverges. Axis legend: `r`
run, `n` feature.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor

from superdyn.config import RunConfig
from superdyn.runs import files_callback
from superdyn.runs.folder import RunFolder
from superdyn.training.measurement import Measurement

N_FEATURES = 64

EVERY_CHUNK = 1e-9
"""A `trainer.checkpoint_minutes` that is over after every chunk."""


def make_config(
    seed: int = 0,
    lr: float = 0.1,
    max_steps: int = 100,
    checkpoint_minutes: float = 1.0,
    progress: bool = False,
) -> RunConfig:
    mapping = {
        "seed": seed,
        "data": {"n_features": N_FEATURES, "data_exponent": 1.0, "importance_exponent": 0.0},
        "model": {"name": "no_superposition", "width": N_FEATURES},
        "optimizer": {"name": "sgd", "lr": lr},
        "trainer": {"max_steps": max_steps, "checkpoint_minutes": checkpoint_minutes, "progress": progress},
        "logger": {"name": "wandb", "project": "tiny", "tags": ["a tag"]},
    }
    return RunConfig.from_mapping(mapping)


class TinyPack(pl.LightningModule):
    def __init__(self, configs: Sequence[RunConfig], fail_at: int | None = None):
        super().__init__()
        self.automatic_optimization = False
        self.configs, self.step, self.fail_at = list(configs), 0, fail_at
        self.kept_steps, self.of_bins = (), {}
        self.lr = torch.tensor([[c.optimizer.lr] for c in configs])
        self.eigenvalues = 1 / torch.arange(1, N_FEATURES + 1)
        start = torch.stack([torch.rand(N_FEATURES, generator=_generator(c)) for c in configs])
        self.s = torch.nn.Parameter(start)
        self.diverged_at = torch.full((len(configs),), -1)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """For Lightning's sake; `training_step` makes the steps itself."""
        return torch.optim.SGD([self.s])

    def training_step(self, batch: tuple[int, int], batch_idx: int) -> dict[str, Any]:
        start, stop = batch
        with torch.no_grad():
            for step in range(start, stop):
                if step == self.fail_at:
                    raise RuntimeError("the machine is on fire")
                self.s += self.lr * self.eigenvalues * (1 - self.s)
                self.step = step + 1
                dead = ~torch.isfinite(self._feature_loss().sum(1)) & (self.diverged_at < 0)
                self.diverged_at[dead] = self.step
        return {"measurement": self._measure()}

    def _feature_loss(self) -> Tensor:
        return 0.5 * self.eigenvalues * (1 - self.s.detach()) ** 2

    def _measure(self) -> Measurement:
        feature_loss = self._feature_loss().numpy()
        lr_time = self.lr[:, 0].double().numpy() * self.step
        return Measurement(
            step=self.step,
            lr_time=lr_time,
            lr=self.lr[:, 0].double().numpy(),
            loss=feature_loss.sum(axis=1, dtype=np.float64),
            feature_loss=feature_loss.astype(np.float64),
            measures={"overlap": np.full(len(self.configs), 1 / 8)},
            diverged_at=self.diverged_at.numpy().copy(),
        )

    def member_state(self, r: int) -> dict[str, Tensor]:
        return {"s": self.s.detach()[r], "diverged_at": self.diverged_at[r]}

    def load_member_states(self, states: Sequence[Mapping[str, Tensor]], step: int) -> None:
        with torch.no_grad():
            self.s.copy_(torch.stack([state["s"] for state in states]))
        self.diverged_at = torch.stack([state["diverged_at"] for state in states])
        self.step = step


class Chunks:
    """(first step, end) of every chunk from `step` on; a fresh run begins with the empty chunk."""

    def __init__(self, step: int, max_steps: int, size: int = 10):
        self.bounds = [(0, 0)] if step == 0 else []
        self.bounds += [(k, min(k + size, max_steps)) for k in range(step, max_steps, size)]

    def __len__(self) -> int:
        return len(self.bounds)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self.bounds)


def _generator(config: RunConfig) -> torch.Generator:
    return torch.Generator().manual_seed(config.seed)


def fit(module: TinyPack, callbacks: list[pl.Callback]) -> None:
    """Train from the module's step to the end, ten steps a chunk."""
    chunks = Chunks(module.step, module.configs[0].trainer.max_steps)
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=callbacks,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[LightningEnvironment()],  # where SLURM is installed Lightning warns of it otherwise
    )
    trainer.fit(module, chunks)


class SlowPack(TinyPack):
    def training_step(self, batch: tuple[int, int], batch_idx: int) -> dict[str, Any]:
        time.sleep(0.002)
        return super().training_step(batch, batch_idx)


def train_slowly(root: Path) -> None:
    """Three members that save after every chunk, for longer than any test waits."""
    files_callback.LARGEST_SHARE = float("inf")
    configs = [make_config(seed, max_steps=100_000, checkpoint_minutes=EVERY_CHUNK) for seed in range(3)]
    fit(SlowPack(configs), [files_callback.RunFiles([RunFolder(root / f"seed={i}") for i in range(3)])])
