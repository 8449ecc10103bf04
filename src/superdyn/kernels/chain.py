"""The Triton kernel of `fused_chain.py`; imported where it runs, since torch for the CPU comes without Triton.

A program takes a few samples of one member through the whole chain and back. Products are float32's: each operand is
split into a large and a small number of TF32, which together hold 22 bits of its 24, and three of the four products of
these are added up in float32. Axis legend: `s` sample, `n` feature, `k` hidden, `m` slot.
"""

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def _split(x):
    bits = x.to(tl.int32, bitcast=True)
    large = (bits & -8192).to(tl.float32, bitcast=True)
    small = ((x - large).to(tl.int32, bitcast=True) + 4096).to(tl.float32, bitcast=True)
    return large, small


@triton.jit
def _add_product(a_large, a_small, b_large, b_small, total):
    total = tl.dot(a_small, b_large, total, input_precision="tf32")
    total = tl.dot(a_large, b_small, total, input_precision="tf32")
    return tl.dot(a_large, b_large, total, input_precision="tf32")


@triton.jit
def _product(a_large, a_small, b_large, b_small):
    zero = tl.zeros([a_large.shape[0], b_large.shape[1]], tl.float32)
    return _add_product(a_large, a_small, b_large, b_small, zero)


@triton.jit
def _write_out(
    x, places, values, step, first_sample, run, n_samples,
    SAMPLES: tl.constexpr, N_FEATURES: tl.constexpr, GROUP: tl.constexpr, TOUCHED: tl.constexpr,
    ALIGNED: tl.constexpr, N_SLOTS: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    """The cells of neighbouring samples: zero, but at the points that lie there.

    Where batches begin with a group, the samples lie in one; else in one or two, and which depends on the step.
    """
    first_cell = (run * n_samples + first_sample) * N_FEATURES
    end = tl.minimum(first_cell + SAMPLES * N_FEATURES, (run + 1) * n_samples * N_FEATURES)
    group = first_sample // GROUP
    slots = ((tl.load(step) * tl.num_programs(1) + run) * TOUCHED + group) * N_SLOTS
    looked_at: tl.constexpr = N_SLOTS if ALIGNED or TOUCHED == 1 else 2 * N_SLOTS
    for start in range(0, SAMPLES * N_FEATURES, SLOTS):
        cell = start + tl.arange(0, SLOTS)
        tl.store(x + first_cell + cell, tl.zeros([SLOTS], tl.float32), mask=first_cell + cell < end)
    tl.debug_barrier()
    for start in range(0, looked_at, SLOTS):
        m = start + tl.arange(0, SLOTS)
        there = (m < looked_at) & (group * N_SLOTS + m < TOUCHED * N_SLOTS)
        place = tl.load(places + slots + m, mask=there, other=-1)
        inside = (place >= first_cell) & (place < end)
        tl.store(x + place, tl.load(values + slots + m, mask=inside, other=0.0), mask=inside)
    tl.debug_barrier()


@triton.jit
def _embedding(matrix, run, stride, N_FEATURES: tl.constexpr, WIDTH: tl.constexpr, n, k):
    """The two halves of one member's matrix (k n)."""
    inside = (k < WIDTH)[:, None] & (n < N_FEATURES)[None, :]
    return _split(tl.load(matrix + run * stride + k[:, None] * N_FEATURES + n[None, :], mask=inside, other=0.0))


@triton.jit
def _store(matrix, part, found, N_FEATURES: tl.constexpr, WIDTH: tl.constexpr, n, k):
    inside = (k < WIDTH)[:, None] & (n < N_FEATURES)[None, :]
    tl.store(matrix + part * WIDTH * N_FEATURES + k[:, None] * N_FEATURES + n[None, :], found, mask=inside)


@triton.jit
def chain_of_samples(
    x, places, values, step, encoder, decoder, core, bias, importance,
    energy, d_encoder, d_decoder, d_core, d_bias, encoder_stride, decoder_stride, core_stride, bias_stride, n_samples,
    N_FEATURES: tl.constexpr, WIDTH: tl.constexpr, N_SLOTS: tl.constexpr, GROUP: tl.constexpr, TOUCHED: tl.constexpr,
    ALIGNED: tl.constexpr, HAS_CORE: tl.constexpr,
    HAS_BIAS: tl.constexpr, TIED: tl.constexpr, RECTIFIED: tl.constexpr, TRAINS: tl.constexpr,
    SAMPLES: tl.constexpr, FEATURES: tl.constexpr, HIDDEN: tl.constexpr, SLOTS: tl.constexpr,
):  # fmt: skip
    run, first = tl.program_id(1).to(tl.int64), tl.program_id(0) * SAMPLES
    part = tl.program_id(0).to(tl.int64) * tl.num_programs(1) + run
    s, n, k = first + tl.arange(0, SAMPLES), tl.arange(0, FEATURES), tl.arange(0, HIDDEN)
    in_n, there = n < N_FEATURES, (s < n_samples)[:, None] & (n < N_FEATURES)[None, :]
    if N_SLOTS > 0:
        drawn = (x, places, values, step, first, run, n_samples)
        _write_out(*drawn, SAMPLES, N_FEATURES, GROUP, TOUCHED, ALIGNED, N_SLOTS, SLOTS)
    inputs = tl.load(x + (run * n_samples + s)[:, None] * N_FEATURES + n[None, :], mask=there, other=0.0)
    x_large, x_small = _split(inputs)

    e_large, e_small = _embedding(encoder, run, encoder_stride, N_FEATURES, WIDTH, n, k)
    h_large, h_small = _split(_product(x_large, x_small, tl.trans(e_large), tl.trans(e_small)))
    encoded_large, encoded_small = h_large, h_small
    b_large, b_small = e_large, e_small
    if HAS_CORE:
        b_large, b_small = _embedding(core, run, core_stride, WIDTH, WIDTH, k, k)
        h_large, h_small = _split(_product(encoded_large, encoded_small, tl.trans(b_large), tl.trans(b_small)))
    d_large, d_small = e_large, e_small
    if not TIED:
        d_large, d_small = _embedding(decoder, run, decoder_stride, N_FEATURES, WIDTH, n, k)
    z = _product(h_large, h_small, d_large, d_small)
    if HAS_BIAS:
        z += tl.load(bias + run * bias_stride + n, mask=in_n, other=0.0)[None, :]

    y = tl.where(z <= 0.0, 0.0, z) if RECTIFIED else z  # what is not a number stays, as with torch's relu
    residual = y - tl.load(importance + run * N_FEATURES + n, mask=in_n, other=0.0)[None, :] * inputs
    residual = tl.where(there, residual, 0.0)
    delta = tl.where(z <= 0.0, 0.0, residual) if RECTIFIED else residual
    tl.store(energy + part, tl.sum(tl.sum(residual * residual, axis=1), axis=0))
    if HAS_BIAS:
        tl.store(d_bias + part * N_FEATURES + n, tl.sum(delta, axis=0), mask=in_n)

    if HAS_CORE or TRAINS:
        delta_large, delta_small = _split(delta)
        g_large, g_small = _split(_product(delta_large, delta_small, tl.trans(d_large), tl.trans(d_small)))
        if HAS_CORE:
            found = _product(tl.trans(g_large), tl.trans(g_small), encoded_large, encoded_small)
            _store(d_core, part, found, WIDTH, WIDTH, k, k)
        if TRAINS:
            if HAS_CORE:
                g_large, g_small = _split(_product(g_large, g_small, b_large, b_small))
            found = _product(tl.trans(h_large), tl.trans(h_small), delta_large, delta_small)
            if not TIED:
                _store(d_decoder, part, found, N_FEATURES, WIDTH, n, k)
                found = tl.zeros_like(found)
            found = _add_product(tl.trans(g_large), tl.trans(g_small), x_large, x_small, found)
            _store(d_encoder, part, found, N_FEATURES, WIDTH, n, k)
