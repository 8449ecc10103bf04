"""The rows of one run's curve and spectrum while it trains; a resumed run continues those on disk.

Axis legend: `t` measurement, `n` feature.
"""

import math
from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Shaped

from superdyn.models.measure_names import OFF_DIAGONAL_ENERGY
from superdyn.runs.folder import CURVE_COLUMNS, RunFolder
from superdyn.runs.manifest import damage

LEAST_LOSS, EXCESS_ERROR = "least_loss", "excess_error"
TRAIN_LOSS, GRAD_NORM = "train_loss", "grad_norm"
LATER_COLUMNS = (LEAST_LOSS, EXCESS_ERROR, OFF_DIAGONAL_ENERGY, TRAIN_LOSS, GRAD_NORM)
"""Columns that runs begun by an older version do not have in the rows before they were resumed."""

LOSS, SHARE = "loss", "share"
"""Columns of spectra."""


class Record:
    """Rows by ascending step: (step, τ, L, measures, least loss), and ℓ_i with what else has a value per feature.

    Args:
        of_bins: (n,) each, by name, what is known of the bins of a spectrum of tokens and does not change.
    """

    def __init__(self, of_bins: Mapping[str, Float[np.ndarray, "n"]] | None = None) -> None:
        self._of_bins = dict(of_bins or {})
        self._rows: list[dict[str, float]] = []
        self._spectra: list[dict[str, Float[np.ndarray, "n"]]] = []

    def __len__(self) -> int:
        return len(self._rows)

    @classmethod
    def resumed(
        cls, folder: RunFolder, step: int, of_bins: Mapping[str, Float[np.ndarray, "n"]] | None = None
    ) -> "Record":
        """The rows on disk up to and including `step`; a run that starts at step 0 starts an empty record.

        Raises:
            ValueError: the run resumes, and its curve and spectrum do not hold the same steps or were altered.
        """
        record = cls(of_bins)
        if step == 0:
            return record
        for name in ("curve.parquet", "spectrum.parquet"):
            if (reason := damage(folder.path, name)) is not None:
                raise ValueError(f"{folder.path / name} cannot be read: {reason}")
        curve, spectrum = folder.curve(), folder.spectrum()
        if curve is None or spectrum is None:
            raise ValueError(f"{folder.path} cannot resume at step {step} without its curve or spectrum")
        kept, steps = curve["step"] <= step, spectrum[0]
        if not np.array_equal(curve["step"][kept], steps[steps <= step]):
            raise ValueError(f"{folder.path} cannot resume: curve and spectrum hold different steps")
        columns = {name: column[kept].tolist() for name, column in curve.items()}
        record._rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        measured = {name: m for name, m in folder.feature_measures().items() if name not in (LEAST_LOSS, SHARE)}
        matrices = {LOSS: spectrum[1]} | measured
        record._spectra = [{name: m[i] for name, m in matrices.items()} for i in np.flatnonzero(steps <= step)]
        return record

    def append(
        self,
        step: int,
        lr_time: float,
        loss: float,
        feature_loss: Float[np.ndarray, "n"],
        measures: Mapping[str, float],
        feature_measures: Mapping[str, Float[np.ndarray, "n"]] | None = None,
    ) -> None:
        """Add a row; rows at this step or later, left from before a resume, give way to it.

        Raises:
            ValueError: the measures are not those of the rows before.
        """
        while self._rows and self._rows[-1]["step"] >= step:
            self._rows.pop()
            self._spectra.pop()
        row = {"step": step, "lr_time": lr_time, "loss": loss} | dict(measures)
        later = {name: math.nan for name in LATER_COLUMNS if self._rows and name in row and name not in self._rows[0]}
        if LEAST_LOSS in later:  # one number of the run; how sure the excess was is gone
            later[LEAST_LOSS] = row[LEAST_LOSS]
        self._rows = [earlier | later for earlier in self._rows] if later else self._rows
        if self._rows and row.keys() != self._rows[0].keys():
            expected = [name for name in self._rows[0] if name not in CURVE_COLUMNS]
            raise ValueError(f"measures={list(measures)}: must be {expected}, as in the rows before step {step}")
        spectra = {LOSS: feature_loss} | dict(feature_measures or {})
        if self._spectra and spectra.keys() != self._spectra[0].keys():
            expected = list(self._spectra[0])[1:]
            raise ValueError(f"feature measures={list(spectra)[1:]}: must be {expected}, as before step {step}")
        self._rows.append(row)
        self._spectra.append({name: np.asarray(values, dtype=np.float32) for name, values in spectra.items()})

    def curve(self) -> dict[str, Shaped[np.ndarray, "t"]]:
        """Columns by name, as in `curve.parquet`."""
        names = self._rows[0] if self._rows else CURVE_COLUMNS
        types = {"step": np.int64}
        return {n: np.array([row[n] for row in self._rows], dtype=types.get(n, np.float64)) for n in names}

    def write(self, folder: RunFolder) -> None:
        """Write `curve.parquet` and `spectrum.parquet`; an empty record leaves no file."""
        if self._rows:
            curve = self.curve()
            folder.write_curve(curve)
            matrices = {name: np.stack([row[name] for row in self._spectra]) for name in self._spectra[0]}
            matrices |= {name: np.broadcast_to(row, matrices[LOSS].shape) for name, row in self._of_bins.items()}
            folder.write_spectrum(curve["step"], matrices.pop(LOSS), matrices)
