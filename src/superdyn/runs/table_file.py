"""Reads a Parquet file that a run may replace at any moment: through one open file, and so one version of it.

Given a path instead, pyarrow opens it once for the footer and once for the data.
"""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def read_table(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """The whole table, or some of its columns."""
    with path.open("rb") as file:
        return pq.read_table(file, columns=None if columns is None else list(columns))
