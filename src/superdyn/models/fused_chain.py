"""All gradients of a small student from one kernel on a GPU: the chain of `chain.py`, forward and back.

Written with one kernel for each product, a step of small students is spent on starting kernels and on carrying what
they give to memory and back. Here a program keeps the matrices of one member and a few of its samples on its
multiprocessor; only sums of gradients over these samples leave it. Every sum has one order, so bits do not vary.
Axis legend: `r` run, `s` sample, `n` feature, `k` hidden, `p` part of the samples, `m` slot.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from superdyn.features.batches import SparseBatch
from superdyn.features.sampler import GROUP, groups_touched
from superdyn.kernels import AVAILABLE
from superdyn.models.gradients import Gradients
from superdyn.models.product import dense_members, rounds
from superdyn.models.weights import Weights

_LARGEST = 128 * 64
"""Entries of an embedding whose two halves, with those of what is multiplied by it, almost fit into registers."""

_MOST_FEATURES = 128
_SAMPLES, _SLOTS = 32, 1024
"""Samples of a program, and points that it looks at, at a time."""

_FEW_PARTS = 16
_PARTS_BYTES = 2**29
"""Largest array of gradients that are still to be added up."""


def serves(weights: Weights, batch: SparseBatch) -> bool:
    """Whether the kernel takes these students and this batch: small, with an embedding, in float32."""
    encoder = weights.encoder
    if not AVAILABLE or encoder is None or not encoder.is_cuda or batch.cells is not None or not _multiplies_tf32():
        return False
    if encoder.dtype != torch.float32 or rounds(encoder.dtype):
        return False
    (features, hidden), (runs, samples, _) = _padded(encoder), batch.shape
    parts_bytes = 4 * runs * -(-samples // _SAMPLES) * encoder.shape[1:].numel()
    return features <= _MOST_FEATURES and features * hidden <= _LARGEST and parts_bytes <= _PARTS_BYTES


@torch.compiler.assume_constant_result
def _multiplies_tf32() -> bool:
    """Whether this GPU has units for it: Ampere and later."""
    return torch.cuda.get_device_capability() >= (8, 0)


def chain_gradients(weights: Weights, batch: SparseBatch, importance: Float[Tensor, "r n"]) -> Gradients:
    """L = ½ mean_s ‖y_s − A x_s‖² of each member and its gradients."""
    assert weights.encoder is not None
    points = (None, None, None) if batch.points is None else batch.points
    x = batch.head if batch.points is None else None
    energy, *parts = chain_parts(
        x, *points, weights.encoder, weights.decoder, weights.core, weights.bias, importance, batch.shape[1],
        weights.rectified, weights.trains_embedding,
    )  # fmt: skip
    scale = 1.0 / batch.shape[1]
    found = dict(zip(("encoder", "decoder", "core", "bias"), parts, strict=True))
    by_name = {name: _sum(part) * scale for name, part in found.items() if name in weights.trained}
    return Gradients(_sum(energy) * (0.5 * scale), by_name)


def _sum(parts: Float[Tensor, "p r ..."]) -> Float[Tensor, "r ..."]:
    """Σ_p; a few parts one by one, which compiled code does where it uses the sum."""
    return sum(parts[1:], start=parts[0]) if len(parts) <= _FEW_PARTS else parts.sum(dim=0)


@torch.library.custom_op("superdyn::chain_parts", mutates_args=())
def chain_parts(
    x: torch.Tensor | None,
    places: torch.Tensor | None,
    values: torch.Tensor | None,
    step: torch.Tensor | None,
    encoder: torch.Tensor,
    decoder: torch.Tensor | None,
    core: torch.Tensor | None,
    bias: torch.Tensor | None,
    importance: torch.Tensor,
    samples: int,
    rectified: bool,
    trains_embedding: bool,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """From x (r s n) or the points (t m) of a step: parts of Σ_s ‖y − A x‖² (p r) and of gradients.

    Gradients are of half the sum: of W_e (p r k n), W_d (p r k n), B (p r k k) and c (p r n), or empty.
    """
    from superdyn.kernels.chain import chain_of_samples

    outputs = _outputs(encoder, decoder, core, bias, samples, trains_embedding)
    matrices = [None if part is None else dense_members(part) for part in (encoder, decoder, core, bias)]
    n_slots = 0
    if places is not None:
        n_slots = places.shape[1] // (len(encoder) * groups_touched(samples))
        fresh = encoder.new_empty if n_slots else encoder.new_zeros  # the kernel writes it out, unless nothing is drawn
        x = fresh(len(encoder), samples, encoder.shape[2])
    assert x is not None
    features, hidden = _padded(encoder)
    chain_of_samples[outputs[0].shape](  # pyright: ignore[reportIndexIssue]
        x.contiguous(), places, values, step, *matrices, importance.contiguous(), *outputs,
        *(0 if part is None else part.stride(0) for part in matrices), samples,
        N_FEATURES=encoder.shape[2], WIDTH=encoder.shape[1], N_SLOTS=n_slots, GROUP=GROUP,
        TOUCHED=groups_touched(samples), ALIGNED=samples % GROUP == 0, HAS_CORE=core is not None,
        HAS_BIAS=bias is not None, TIED=decoder is None, RECTIFIED=rectified, TRAINS=trains_embedding,
        SAMPLES=_SAMPLES, FEATURES=features, HIDDEN=hidden, SLOTS=_SLOTS,
        num_warps=4, num_stages=1,
    )  # fmt: skip
    return outputs


@chain_parts.register_fake
def _(
    x: Any, places: Any, values: Any, step: Any, encoder: Any, decoder: Any, core: Any, bias: Any, importance: Any,
    samples: Any, rectified: Any, trains_embedding: Any,
) -> Any:  # fmt: skip
    return _outputs(encoder, decoder, core, bias, samples, trains_embedding)


def _outputs(
    encoder: Tensor, decoder: Tensor | None, core: Tensor | None, bias: Tensor | None, samples: int, trains: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    parts = -(-samples // _SAMPLES)

    def parts_of(tensor: Tensor | None) -> Tensor:
        return encoder.new_empty(0 if tensor is None else (parts, *tensor.shape))

    of_encoder, of_decoder = (parts_of(part if trains else None) for part in (encoder, decoder))
    return encoder.new_empty(parts, len(encoder)), of_encoder, of_decoder, parts_of(core), parts_of(bias)


def _padded(encoder: Tensor) -> tuple[int, int]:
    """Features and width as powers of two, of 16 at least, as the units that multiply take them."""
    width, n_features = encoder.shape[1:]
    return max(16, 1 << (n_features - 1).bit_length()), max(16, 1 << (width - 1).bit_length())
