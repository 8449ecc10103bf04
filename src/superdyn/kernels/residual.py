"""The Triton kernel of `masked_residual.py`; imported where it runs, since torch for the CPU comes without Triton.

A program holds `TILE` features and goes through its part of the samples, `ROWS` at a time. Axis legend: `n` feature,
`s` sample, `c` tile of features.
"""

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def residual_tile(
    output, bias, importance, x, delta, bias_parts, energy_parts, bias_stride, n_samples, n_features,
    PART_SAMPLES: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_X: tl.constexpr, RECTIFIED: tl.constexpr,
    ROWS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    tile, part, run = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    n = tile * TILE + tl.arange(0, TILE)
    in_n = n < n_features
    a = tl.load(importance + run * n_features + n, mask=in_n, other=0.0)
    c = tl.zeros_like(a)
    if HAS_BIAS:
        c = tl.load(bias + run * bias_stride + n, mask=in_n, other=0.0)
    columns = tl.zeros([ROWS, TILE], dtype=a.dtype)
    squares = tl.zeros([ROWS, TILE], dtype=a.dtype)
    first = part * PART_SAMPLES
    for start in range(0, PART_SAMPLES, ROWS):
        s = first + start + tl.arange(0, ROWS)
        there = ((s < n_samples) & (s < first + PART_SAMPLES))[:, None] & in_n[None, :]
        places = (run * n_samples + s)[:, None] * n_features + n[None, :]
        z = tl.load(output + places, mask=there, other=0.0) + c[None, :]
        target = tl.zeros_like(z)
        if HAS_X:
            target = a[None, :] * tl.load(x + places, mask=there, other=0.0)
        if RECTIFIED:  # what is not a number stays, as with torch's relu
            residual = tl.where(z <= 0.0, 0.0, z) - target
            found = tl.where(z <= 0.0, 0.0, residual)
        else:
            residual = z - target
            found = residual
        tl.store(delta + places, found, mask=there)
        columns += tl.where(there, found, 0.0)
        squares += tl.where(there, residual * residual, 0.0)
    of_part = part.to(tl.int64) * tl.num_programs(2) + run
    tl.store(bias_parts + of_part * n_features + n, tl.sum(columns, axis=0), mask=in_n)
    tl.store(energy_parts + of_part * tl.num_programs(0) + tile, tl.sum(tl.sum(squares, axis=1), axis=0))
