"""What an evaluation leaves in its folder, and what it finds there when it is started again.

`revisions/NAME.parquet`: of one measured revision the sum of the loss over the occurrences of every token that was a
target, and their number (`id`, `total`, `occurrences`); step, measures and settings are in the file's metadata. Each is
written at once, so that a file that is there is a revision that is done. `curve.parquet`, `spectrum.parquet` and
`bins.parquet` follow from these files and are written anew after each. Axis legend: `t` revision, `v` token, `m` bin.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64, Int64

from superdyn.analysis.evaluated import BINS_FILE, SPECTRA
from superdyn.atomic import write_atomically
from superdyn.evaluate.token_loss import TokenLoss
from superdyn.features.tokens.frequency import FrequencyBins
from superdyn.runs.folder import RunFolder
from superdyn.runs.hashed_file import hash_file
from superdyn.runs.manifest import damage, enter, withdraw
from superdyn.runs.table_file import read_table

REVISIONS = "revisions"
_METADATA = b"superdyn"


@dataclass(frozen=True)
class Facts:
    """The numbers of a measured revision that are no vector."""

    revision: str
    step: int
    signature: str
    loss: float
    seconds: float
    measures: dict[str, float]


@dataclass(frozen=True)
class Measured:
    """A revision's file as it is read back."""

    facts: Facts
    losses: TokenLoss


def revision_path(folder: RunFolder, name: str) -> Path:
    """The file of a revision, whatever characters its name has."""
    return folder.path / REVISIONS / f"{quote(name, safe='')}.parquet"


def write_revision(folder: RunFolder, facts: Facts, losses: TokenLoss) -> None:
    """Keep a measured revision."""
    ids = np.flatnonzero(losses.occurrences)
    columns = {"id": ids.astype(np.int32), "total": losses.total[ids], "occurrences": losses.occurrences[ids]}
    table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(asdict(facts)).encode()})
    path = revision_path(folder, facts.revision)
    name = path.relative_to(folder.path).as_posix()
    withdraw(folder.path, name)
    write_atomically(path, lambda file: pq.write_table(table, file, compression="zstd"))
    enter(folder.path, {name: hash_file(path)}, facts.signature)


def read_revision(folder: RunFolder, name: str, signature: str, vocabulary_size: int) -> Measured | None:
    """What was measured of a revision; None if nothing was, with other settings, or the file is damaged."""
    path = revision_path(folder, name)
    if not path.is_file() or damage(folder.path, path.relative_to(folder.path).as_posix()) is not None:
        return None
    try:
        table = read_table(path)
        facts = Facts(**json.loads((table.schema.metadata or {})[_METADATA]))
    except (ValueError, OSError, KeyError, TypeError):  # pyarrow's errors are ValueErrors; it is measured again
        return None
    if facts.signature != signature:
        return None
    total, occurrences = np.zeros(vocabulary_size), np.zeros(vocabulary_size, dtype=np.int64)
    ids = table["id"].to_numpy()
    occurrences[ids] = table["occurrences"].to_numpy()
    total[ids] = table["total"].to_numpy()
    return Measured(facts, TokenLoss(total, occurrences))


class Tables:
    """The rows of curve and spectrum, in the order of steps.

    Args:
        bins: `occurrences` and `rank` bins by these names.
        lr_times: τ of a step, or the step itself.
    """

    def __init__(self, folder: RunFolder, bins: Mapping[str, FrequencyBins], lr_times: Mapping[int, float]):
        self.folder, self.bins, self._lr_times = folder, bins, lr_times
        self._facts: dict[int, Facts] = {}
        self._binned: dict[int, dict[str, Float64[np.ndarray, "m"]]] = {}
        self._occurrences: Int64[np.ndarray, "v"] | None = None

    def __len__(self) -> int:
        return len(self._facts)

    def add(self, step: int, facts: Facts, losses: TokenLoss) -> None:
        """Take in a revision; `step` overrides the one it was stored with."""
        self._facts[step] = facts
        self._binned[step] = {kind: bins.mean(losses.total, losses.occurrences) for kind, bins in self.bins.items()}
        self._occurrences = losses.occurrences

    def write(self) -> None:
        """Write the three files; nothing while no revision is measured."""
        if self._occurrences is None:
            return
        steps = np.array(sorted(self._facts), dtype=np.int64)
        facts = [self._facts[step] for step in steps]
        columns = {
            "step": steps,
            "lr_time": np.array([self._lr_times[step] for step in steps]),
            "loss": np.array([fact.loss for fact in facts]),
        }
        columns |= {name: np.array([fact.measures[name] for fact in facts]) for name in facts[0].measures}
        spectra = {SPECTRA[kind]: np.stack([self._binned[step][kind] for step in steps]) for kind in self.bins}
        _write_bins(self.folder, self.bins, self._occurrences)
        self.folder.write_spectrum(steps, spectra.pop("loss"), spectra)
        self.folder.write_curve(columns)


def _write_bins(folder: RunFolder, bins: Mapping[str, FrequencyBins], occurrences: Int64[np.ndarray, "v"]) -> None:
    rows = [row for kind, each in bins.items() for row in _bin_rows(kind, each, occurrences)]
    table = pa.Table.from_pylist(rows)
    folder.replace(BINS_FILE, lambda file: pq.write_table(table, file))


def _bin_rows(kind: str, bins: FrequencyBins, occurrences: Int64[np.ndarray, "v"]) -> Sequence[dict[str, object]]:
    evaluated = np.bincount(bins.bin_of[bins.bin_of >= 0], occurrences[bins.bin_of >= 0], minlength=len(bins.types))
    return [
        {
            "kind": kind,
            "bin": number,
            "first_rank": int(bins.edges[number]),
            "last_rank": int(bins.edges[number + 1]) - 1,
            "types": int(bins.types[number]),
            "share": float(bins.share[number]),
            "mean_rank": float(bins.mean_rank[number]),
            "evaluated": int(evaluated[number]),
        }
        for number in range(len(bins.types))
    ]
