"""Which points train together: those of one pack key, one batch form and one resume step, in packs that fit in memory.

A member's memory is estimated from shapes: parameters and optimizer state, the evaluation set, and the activations of
the larger of a training batch and an evaluation block; a chunk of batches has a limit of its own.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from superdyn.config import ModelConfig, RunConfig
from superdyn.features.batching import head_size
from superdyn.runs.checkpoints import Checkpoint, load_latest
from superdyn.sweeps.points import Point

_MEMORY_SHARE = 0.5
"""Of the memory that is free; the estimate below is good to a factor of about 1.5."""

_EVALUATION_BLOCK = 256
_TILE = 64 * 2**20
"""Bytes of a residual that a member holds at once (`models/decoding.py`)."""

_LIVE_RESIDUALS = 4
_LIVE_ENCODED = 6
_LIVE_AUTOGRAD = 8
"""Copies alive at once of an N-wide residual, of a K-wide encoding, and of any activation under autograd."""

_STATE_COPIES = 6
"""Parameters, gradients, their flat copy, up to two moments, one temporary."""

_CELL_BYTES = 100
"""Of an active cell of the evaluation set, in both orders."""


@dataclass(frozen=True)
class Pack:
    """Points that train as stacked tensors; `resumed` holds their checkpoints, or is empty for a fresh start."""

    points: tuple[Point, ...]
    resumed: tuple[Checkpoint, ...] = ()

    @property
    def start_step(self) -> int:
        """Optimizer steps that all members have behind them."""
        return self.resumed[0].step if self.resumed else 0


def make_packs(points: Sequence[Point]) -> list[Pack]:
    """Group points, keeping their order; members of one pack start at the same step."""
    groups: dict[tuple[str, int, int], list[tuple[Point, Checkpoint | None]]] = {}
    for point in points:
        checkpoint = load_latest(point.folder.checkpoints)
        step = checkpoint.step if checkpoint else 0
        # The width of the dense head follows a run's own frequencies, so that its bits do not depend on its companions.
        groups.setdefault((point.config.pack_key(), head_size(point.config.data), step), []).append((point, checkpoint))
    packs = []
    for members in groups.values():
        size = pack_size(members[0][0].config)
        for start in range(0, len(members), size):
            part = members[start : start + size]
            resumed = tuple(checkpoint for _, checkpoint in part if checkpoint is not None)
            packs.append(Pack(tuple(point for point, _ in part), resumed))
    return packs


def pack_size(config: RunConfig) -> int:
    """How many members of this shape train at once: `launcher.max_pack_size`, or what half of the free memory holds."""
    return config.launcher.max_pack_size or max(1, int(_MEMORY_SHARE * _free_bytes(config) / member_bytes(config)))


def member_bytes(config: RunConfig) -> int:
    """Estimated memory of one member in bytes."""
    n, k, data = config.data.n_features, config.model.width, config.data
    word = 8 if config.trainer.precision == "64-true" else 4
    state = _STATE_COPIES * word * (2 * k * n + k * k)
    evaluation = int(_CELL_BYTES * data.eval_size * (data.density + 1))
    batch = max(data.batch_size, _EVALUATION_BLOCK)
    if config.model.target != ModelConfig.model_fields["target"].default:
        return state + evaluation + _LIVE_AUTOGRAD * word * n * (n if config.loss == "population" else batch)
    if config.loss == "population":
        return state + _LIVE_RESIDUALS * word * k * n + min(word * n * n, _TILE)
    residual = min(word * batch * n, _TILE)
    return state + evaluation + _LIVE_RESIDUALS * residual + _LIVE_ENCODED * word * batch * k


def _free_bytes(config: RunConfig) -> int:
    if config.trainer.accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
