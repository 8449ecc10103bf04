"""Triton kernels that draw points, of `features/group_draws.py` and `features/last_of_cell.py`.

Imported where they run, as torch for the CPU comes without Triton. Axis legend: `w` word, `m` point.
"""

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]

_MULTIPLIER_0: tl.constexpr = tl.constexpr(0xD2E7470EE14C6C93)
_MULTIPLIER_1: tl.constexpr = tl.constexpr(0xCA5A826395121157)
_WEYL_0: tl.constexpr = tl.constexpr(0x9E3779B97F4A7C15)
_WEYL_1: tl.constexpr = tl.constexpr(0xBB67AE8584CAA73B)
"""Of Philox4x64-10, as in `features/philox.py`."""


@triton.jit
def _uniforms(block, key_0, key_1):
    """The four uniform numbers in [0, 1) of each block (w / 4), in turn (w); multiples of 2^-53."""
    x0 = block.to(tl.uint64)
    x1 = tl.zeros_like(x0)
    x2 = x1
    x3 = x1
    key_0 = x1 + key_0
    key_1 = x1 + key_1
    multiplier_0 = tl.full(x0.shape, _MULTIPLIER_0, tl.uint64)
    multiplier_1 = tl.full(x0.shape, _MULTIPLIER_1, tl.uint64)
    for _ in tl.static_range(10):
        high_0 = tl.umulhi(x0, multiplier_0)
        high_1 = tl.umulhi(x2, multiplier_1)
        low_0 = x0 * multiplier_0
        low_1 = x2 * multiplier_1
        x0 = high_1 ^ x1 ^ key_0
        x1 = low_1
        x2 = high_0 ^ x3 ^ key_1
        x3 = low_0
        key_0 += tl.full(x0.shape, _WEYL_0, tl.uint64)
        key_1 += tl.full(x0.shape, _WEYL_1, tl.uint64)
    words = tl.join(tl.join(x0, x2), tl.join(x1, x3)).reshape(4 * block.shape[0])
    return (words >> 11).to(tl.float64) * 1.1102230246251565e-16


@triton.jit
def _not_above(table, u, wanted, LENGTH, BITS: tl.constexpr):
    """How many entries of an ascending table are at most u, where wanted: bit by bit, from the highest."""
    found = tl.zeros(u.shape, dtype=tl.int64)
    for i in tl.static_range(BITS):
        trial = found + (1 << (BITS - 1 - i))
        inside = wanted & (trial <= LENGTH)
        entry = tl.load(table + trial - 1, mask=inside, other=0.0)
        found = tl.where(inside & (entry <= u), trial, found)
    return found


@triton.jit
def points_of_words(
    first_step, keys, blocks, caps, certain, count_cdf, rates, cells, uniforms, counts, samples, n_steps,
    N_POINTS: tl.constexpr, N_VALUES: tl.constexpr, MOST_CERTAIN: tl.constexpr, N_FEATURES: tl.constexpr,
    COUNT_BITS: tl.constexpr, FEATURE_BITS: tl.constexpr, GROUP: tl.constexpr, TOUCHED: tl.constexpr,
    PROGRAMS: tl.constexpr, BLOCKS: tl.constexpr,
):  # fmt: skip
    """What some words of a group stand for.

    The first is its count, as many as its cap are cells, as many uniforms of their values, and the rest those of every
    sample's certain features.
    """
    row = (tl.program_id(0) // PROGRAMS).to(tl.int64)
    run = row // (n_steps * TOUCHED)
    step = tl.load(first_step) + row // TOUCHED % n_steps
    group = step * samples // GROUP + row % TOUCHED
    key_0 = tl.load(keys + 2 * run).to(tl.uint64)
    key_1 = tl.load(keys + 2 * run + 1).to(tl.uint64)
    cap = tl.load(caps + run)
    n_certain = tl.load(certain + run)
    first = tl.program_id(0) % PROGRAMS * BLOCKS
    u = _uniforms(group * tl.load(blocks + run) + first + tl.arange(0, BLOCKS).to(tl.int64), key_0, key_1)
    word = 4 * first + tl.arange(0, 4 * BLOCKS)

    is_count = word == 0
    count = _not_above(count_cdf + run * (N_POINTS + 1), u, is_count, N_POINTS + 1, COUNT_BITS)
    tl.store(counts + row + 0 * word, count, mask=is_count)

    is_place = (word >= 1) & (word <= cap)
    place = u * GROUP
    sample = place.to(tl.int64)
    run_rates = rates + run * N_FEATURES
    total = tl.load(run_rates + N_FEATURES - 1)
    within = (place - sample.to(tl.float64)) * total
    feature = _not_above(run_rates, within, is_place, N_FEATURES, FEATURE_BITS)
    cell = sample * N_FEATURES + tl.minimum(feature + n_certain, N_FEATURES - 1)
    tl.store(cells + row * N_POINTS + word - 1, cell, mask=is_place)

    is_value = (word > cap) & (word <= 2 * cap)
    tl.store(uniforms + row * N_VALUES + word - 1 - cap, u, mask=is_value)

    if MOST_CERTAIN > 0:
        number = word - 1 - 2 * cap
        is_certain = (number >= 0) & (number < GROUP * n_certain)
        of_sample = number // tl.maximum(n_certain, 1) * MOST_CERTAIN + number % tl.maximum(n_certain, 1)
        tl.store(uniforms + row * N_VALUES + N_POINTS + of_sample, u, mask=is_certain)


@triton.jit
def last_of_cell_in_row(cells, counts, kept, POINTS: tl.constexpr, BLOCK: tl.constexpr):
    """Of the points of one row, the first `count` of which are drawn: whether no later one lies in the same cell."""
    row = tl.program_id(0).to(tl.int64)
    m = tl.arange(0, BLOCK)
    count = tl.load(counts + row)
    cell = tl.load(cells + row * POINTS + m, mask=m < POINTS, other=-1)
    last = m < count
    for later in range(POINTS):
        same = cell == tl.load(cells + row * POINTS + later)
        last = last & ~(same & (m < later) & (later < count))
    tl.store(kept + row * POINTS + m, last, mask=m < POINTS)
