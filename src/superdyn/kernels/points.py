"""The Triton kernels of `point_products.py`; imported where they run, since torch for the CPU comes without Triton.

Several programs may add to the same entry, which is what makes the order of additions vary. Axis legend: `m` slot,
`k` hidden.
"""

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def add_products_of_group(
    places, values, source, target, stride, n_samples, n_features, width, beyond,
    ENCODES: tl.constexpr, N_SLOTS: tl.constexpr, SAMPLES: tl.constexpr, SLOTS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """Of the points of one group of samples, `SLOTS` at a time, and `WIDTH` hidden units.

    Encoding, a point's value times its feature's column of the weights goes to its sample's hidden units; else its
    value times its sample's hidden units goes to its feature's column of the gradient.
    """
    group, block, run = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    k = block * WIDTH + tl.arange(0, WIDTH)
    first_slot = (run * tl.num_programs(0) + group) * N_SLOTS
    # Counted from the group before: of a batch that begins within a group, group g begins up to 63 rows before 64 g.
    first_row = run * n_samples + tl.maximum(group - 1, 0) * SAMPLES
    for start in range(0, N_SLOTS, SLOTS):
        m = start + tl.arange(0, SLOTS)
        place = tl.load(places + first_slot + m, mask=m < N_SLOTS, other=beyond)
        there = place < beyond
        cell = tl.where(there, place - first_row * n_features, 0).to(tl.int32)
        value = tl.load(values + first_slot + m, mask=there, other=0.0)
        inside = there[:, None] & (k < width)[None, :]
        column = run * stride + k[None, :] * n_features + (cell % n_features)[:, None]
        row = (first_row + cell // n_features)[:, None] * width + k[None, :]
        if ENCODES:
            product = value[:, None] * tl.load(source + column, mask=inside, other=0.0)
            tl.atomic_add(target + row, product, mask=inside, sem="relaxed")
        else:
            product = value[:, None] * tl.load(source + row, mask=inside, other=0.0)
            tl.atomic_add(target + column, product, mask=inside, sem="relaxed")


@triton.jit
def subtract_targets_of_run(
    places, values, importance, delta, d_bias, energy, n_features, beyond,
    N_SLOTS: tl.constexpr, RECTIFIED: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    run = tl.program_id(1).to(tl.int64)
    m = tl.program_id(0) * SLOTS + tl.arange(0, SLOTS)
    place = tl.load(places + run * N_SLOTS + m, mask=m < N_SLOTS, other=beyond)
    there = place < beyond
    place = tl.where(there, place, 0)
    channel = run * n_features + place % n_features
    value = tl.load(values + run * N_SLOTS + m, mask=there, other=0.0)
    target = value * tl.load(importance + channel, mask=there, other=0.0)
    y = tl.load(delta + place, mask=there, other=0.0)
    tl.atomic_add(energy + run, tl.sum(target * (target - 2.0 * y), axis=0), sem="relaxed")
    if RECTIFIED:
        there = there & (y > 0.0)
    tl.store(delta + place, y - target, mask=there)
    tl.atomic_add(d_bias + channel, -target, mask=there, sem="relaxed")
