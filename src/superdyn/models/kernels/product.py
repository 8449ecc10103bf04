"""The Triton kernel of `float32_product.py`; imported where it runs, since torch for the CPU comes without Triton.

A program makes one tile of one member's product. Axis legend: `m` row, `n` column, `k` inner.
"""

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


@triton.jit
def product_tile(
    a, b, out, rows, columns, a_run, a_row, a_inner, b_run, b_inner, b_column, out_run, out_row,
    LENGTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, INNER: tl.constexpr,
):  # fmt: skip
    run, tiles = tl.program_id(1).to(tl.int64), tl.cdiv(columns, COLUMNS)
    m = (tl.program_id(0) // tiles) * ROWS + tl.arange(0, ROWS)
    n = (tl.program_id(0) % tiles) * COLUMNS + tl.arange(0, COLUMNS)
    there = (m < rows)[:, None] & (n < columns)[None, :]
    total = tl.zeros([ROWS, COLUMNS], dtype=tl.float32)
    for start in range(0, LENGTH, INNER):
        k = start + tl.arange(0, INNER)
        left = a + run * a_run + m[:, None] * a_row + k[None, :] * a_inner
        right = b + run * b_run + k[:, None] * b_inner + n[None, :] * b_column
        x = tl.load(left, mask=(m < rows)[:, None] & (k < LENGTH)[None, :], other=0.0)
        y = tl.load(right, mask=(k < LENGTH)[:, None] & (n < columns)[None, :], other=0.0)
        total = tl.dot(x, y, total, input_precision="tf32x3")
    tl.store(out + run * out_run + m[:, None] * out_row + n[None, :], total, mask=there)
