"""The settings of one evaluation, as the command line gives them, checked before anything is read."""

from dataclasses import dataclass
from pathlib import Path

import torch

from superdyn.evaluate.checkpoint import DTYPES
from superdyn.evaluate.revisions import AUTO


@dataclass(frozen=True)
class Settings:
    """What to measure of which checkpoints, on what, and where the files go; see `docs/evaluate.md`."""

    model: str
    out: Path
    tokens: tuple[str, ...]
    revisions: str = AUTO
    steps: str | None = None
    step_pattern: str | None = None
    bins: int = 10
    rank_bins: int = 16
    max_tokens: int | None = None
    context: int | None = None
    batch: int = 8
    memory_gib: float | None = None
    device: str = "cpu"
    dtype: str = "float32"
    frequencies: Path | None = None
    lr_schedule: Path | None = None
    keep_cache: bool = False
    fail_fast: bool = False
    wandb: str | None = None

    def __post_init__(self) -> None:
        for name in ("bins", "rank_bins", "max_tokens", "context", "batch", "memory_gib"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"--{name.replace('_', '-')}={value}: must be above 0.")
        for place in (self.out, *self.out.parents):
            if place.exists() and not place.is_dir():
                raise ValueError(
                    f"OUT={self.out}: {place} is a file; a new folder, or that of an evaluation, is needed."
                )
        if self.dtype not in DTYPES:
            raise ValueError(f"--dtype={self.dtype}: must be one of {', '.join(DTYPES)}.")
        if self.device not in ("cpu", "cuda"):
            raise ValueError(f"--device={self.device}: must be cpu or cuda.")
        if self.device == "cuda" and not torch.cuda.is_available():
            raise ValueError("--device=cuda: torch finds no CUDA device here; --device=cpu works everywhere.")
