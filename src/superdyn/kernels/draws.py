"""The Triton kernel of `features/last_of_cell.py`; imported where it runs, as torch for the CPU comes without Triton.

Axis legend: `m` point.
"""

import triton  # pyright: ignore[reportMissingImports]
import triton.language as tl  # pyright: ignore[reportMissingImports]


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
