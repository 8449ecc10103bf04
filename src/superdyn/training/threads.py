"""What the CPU should do for a pack: how many threads compute, and that freed memory stays at hand.

Small products gain nothing from a second thread and lose severalfold when the cores are shared with other work, because
threads then wait for each other at every operation. A member's bits do not depend on the choice: its products have
threads of their own number (`models/product.py`), and for GELU and SiLU at odd shapes the choice does not depend on the
pack.
"""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import torch

from superdyn.config import RunConfig
from superdyn.config.sequence_rules import decoder_shape
from superdyn.models.decoder.mlp import falls_into_whole_vectors
from superdyn.models.openblas import one_blas_thread
from superdyn.models.product import lone_product_threads
from superdyn.training.evaluation import block_size

LARGE_PACK = 2**21
"""Multiply-adds of a pack's largest product up to which one thread is used."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _LARGE, _BLOCK_SIZED, _SMALL = -1, -3, 2**30, 2**22, 2**18
"""Names and values of malloc.h's mallopt(3)."""


@contextmanager
def cpu_threads(configs: Sequence[RunConfig]) -> Iterator[None]:
    """Set torch's intra-operation threads for a pack, and NumPy's to one; they are put back afterwards."""
    before, size = torch.get_num_threads(), largest_product(configs[0])
    members = 1 if _threads_show(configs[0], before) else len(configs)
    if members * size <= LARGE_PACK:
        torch.set_num_threads(1)
    try:
        with one_blas_thread(), lone_product_threads(1 if size <= LARGE_PACK else before):
            yield
    finally:
        torch.set_num_threads(before)


def keep_freed_memory(kept: bool = True, *, sharded: bool = False) -> None:
    """Have the C library reuse large temporaries instead of returning each to the system, for the rest of the process.

    Otherwise every operation on a large pack asks for fresh pages, which costs more than the operation (packs of 64 at
    N = 64 gain a quarter). What is kept has holes, though, that aligned arrays of the same size do not fit into; a run
    that computes activations again to save memory saves none then, and has each array returned (`kept` False); one that
    is `sharded` returns the large ones, among them the parameters that it gathers for a moment. Only glibc is known to
    offer this; elsewhere nothing happens.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL("libc.so.6").mallopt
        most = (_BLOCK_SIZED if sharded else _LARGE) if kept else _SMALL
        mallopt(_M_MMAP_THRESHOLD, most)
        mallopt(_M_TRIM_THRESHOLD, most)


def _threads_show(config: RunConfig, threads: int) -> bool:
    """Whether a member's bits depend on the number of threads, which then must not depend on its companions.

    Only GELU and SiLU see it, where the entries of a batch or of the evaluation set do not fall into whole vectors.
    """
    model, data = config.model, config.data
    if model.decoder is None or model.decoder.mlp == "relu":
        return False
    if data.kind == "tokens":  # evaluated in blocks that need not be whole
        return True
    inner = data.length * decoder_shape(model).mlp_width
    return not all(falls_into_whole_vectors(n * inner, threads) for n in (data.batch_size, block_size(data)))


def largest_product(config: RunConfig) -> int:
    """Multiply-adds of one member; exact gradients behind a frozen identity embedding multiply no matrices."""
    n, k = config.data.n_features, config.model.width
    if config.data.kind == "tokens":
        return config.data.batch_size * config.data.length * k * max(n, 4 * k)
    if config.loss == "sampled":
        widest = n if config.model.decoder is None else max(n, decoder_shape(config.model).mlp_width)
        return config.data.samples_per_step * k * widest
    plain = config.model.encoder_init == "identity" and not config.model.train_encoder
    return n * k if plain else n * k * k
