"""How many CPU threads a pack computes on: one where a member's products are small, else all.

Small products gain little from a second thread and lose severalfold when the cores are shared with other work, because
threads then wait for each other at every operation. The choice depends on one member's shape only, never on the size
of the pack, so that a run's bits are the same alone and packed.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from superdyn.config import RunConfig

_SMALL_PRODUCT = 2**20
"""Multiply-adds of a member's largest product below which one thread is used."""


@contextmanager
def cpu_threads(config: RunConfig) -> Iterator[None]:
    """Set torch's intra-operation threads for runs of this shape; they are put back afterwards."""
    before = torch.get_num_threads()
    if _largest_product(config) <= _SMALL_PRODUCT:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _largest_product(config: RunConfig) -> int:
    """Multiply-adds; a student with the frozen identity embedding and exact gradients multiplies no matrices."""
    n, k = config.data.n_features, config.model.width
    if config.loss == "sampled":
        return config.data.batch_size * n * k
    plain = config.model.encoder_init == "identity" and not config.model.train_encoder
    return n * k if plain else n * n * k
