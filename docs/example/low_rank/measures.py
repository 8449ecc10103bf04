"""Measures: how much of every feature's direction other features occupy, and the largest norm of an embedding.

interference_i = Σ_{j≠i} (ŵ_i · w_j)², ŵ_i = w_i/|w_i| (Elhage et al. 2022). Axis legend: `r` run, `k` hidden, `n`, `m`
feature.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from superdyn.config import RunConfig
from superdyn.models.protocol import EmbeddingStudent


def interference(student: nn.Module, configs: Sequence[RunConfig]) -> dict[str, Tensor]:
    """(r, n) values go to `spectrum.parquet`, numbers (r,) to `curve.parquet`, both to W&B."""
    assert isinstance(student, EmbeddingStudent), "has a method embedding()"
    embedding = student.embedding()  # (r, k, n)
    norms = embedding.norm(dim=1)
    directions = embedding / norms.clamp_min(1e-12)[:, None]
    overlaps = torch.einsum("rkn,rkm->rnm", directions, embedding).square()
    return {"interference": overlaps.sum(2) - norms.square(), "largest_norm": norms.amax(1)}
