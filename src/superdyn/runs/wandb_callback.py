"""Shows a pack in Weights & Biases while it trains: one live run per member.

Every measurement becomes a history row: loss, local slope, running exponent with its interval (of what the loss
exceeds the least possible one by, where that is known), binned spectrum, superposition measures. W&B is only a view: if
it fails, one warning says so and training goes on.
It must come after `RunFiles` in the Trainer's callbacks, whose files it reads. Axis legend: `r` member, `t`
measurement.
"""

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from pytorch_lightning import Callback, LightningModule, Trainer

from superdyn.config import RunConfig
from superdyn.features.rank_bins import binned_mean, spectrum_edges
from superdyn.runs.folder import RunFolder
from superdyn.runs.record import LEAST_LOSS, SHARE
from superdyn.runs.wandb_run import WandbRun
from superdyn.training.measurement import Measurement
from superdyn.training.throughput import Throughput

Fit = Callable[[np.ndarray, np.ndarray], tuple[float, float, float, float]]
"""(t, loss) → (local slope, exponent, its lower and upper bound); nan where it cannot be said yet."""

FIT_KEYS = ("local_slope", "exponent", "exponent_low", "exponent_high")


class WandbRuns(Callback):
    """One W&B run per member.

    Args:
        folders: (r,) the members' folders, as given to `RunFiles`.
        configs: (r,) their configurations.
        group: the sweep's name.
        fit: the running exponent, called with the curve's learning-rate times τ and losses so far, step 0
            included; above the least possible loss where that is known.

    Attributes:
        not_logged: names of the runs that W&B does not show in full.
    """

    def __init__(self, folders: Sequence[RunFolder], configs: Sequence[RunConfig], group: str, fit: Fit):
        self.not_logged: list[str] = []
        self._folders, self._configs, self._group, self._fit = list(folders), list(configs), group, fit
        self._runs: dict[int, WandbRun] = {}
        self._curves: list[list[tuple[float, float]]] = []
        self._throughput: Throughput | None = None
        self._shares: list[Float[np.ndarray, "n"] | None] = []
        """Of runs on tokens, the part of the evaluation tokens in each bin."""
        self._last = (0.0, 0)
        """When the last measurement was taken, and its step."""
        self._edges: list[Int[np.ndarray, "edges"]] = [
            spectrum_edges(c.data, c.logger.spectrum_bins) for c in self._configs
        ]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the runs; the first one that W&B refuses ends the attempt for the rest."""
        if not trainer.is_global_zero:
            return
        module: Any = pl_module
        self._throughput, self._last = Throughput.of(self._configs), (time.monotonic(), module.step)
        self._shares = [module.of_bins[SHARE][r] if module.of_bins else None for r in range(len(self._configs))]
        self._curves = [self._curve_until(folder, module.step) for folder in self._folders]
        for member, (folder, config) in enumerate(zip(self._folders, self._configs, strict=True)):
            if self.not_logged:
                self.not_logged.append(folder.name)
                continue
            with self._unharmed(member):
                signature, environment = config.signature(), folder.environment() or {}
                content = config.to_mapping() | {
                    "signature": signature,
                    "spectrum_bin_edges": self._edges[member].tolist(),
                    "environment": environment,
                }
                named = environment.get("first_signature", signature)
                self._runs[member] = WandbRun(folder, named, config.logger, self._group, content)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Log the chunk's measurement; a member that diverged ends here as a failed run."""
        measurement: Measurement | None = outputs["measurement"]
        if measurement is None or not self._runs:
            return
        speed = self._speed(measurement.step)
        for member in list(self._runs):
            with self._unharmed(member):
                if measurement.diverged_at[member] >= 0:
                    self._finish(member)
                else:
                    self._curves[member].append((float(measurement.lr_time[member]), float(measurement.loss[member])))
                    self._runs[member].log(measurement.step, self._row(member, measurement) | speed)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End every run as its `status.json` says."""
        self._finish_all()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """End every run as its `status.json` says: failed or interrupted."""
        self._finish_all()

    def _finish_all(self) -> None:
        for member in list(self._runs):
            with self._unharmed(member):
                self._finish(member)

    def _finish(self, member: int) -> None:
        status = self._folders[member].status()
        curve = self._curves[member]
        state = "failed" if status is None else status.state
        self._runs[member].finish(state, curve[-1][1] if curve else None)
        del self._runs[member]

    def _row(self, member: int, measurement: Measurement) -> dict[str, int | float]:
        times, losses = np.array(self._curves[member]).T
        least = float(measurement.measures[LEAST_LOSS][member]) if LEAST_LOSS in measurement.measures else 0.0
        fitted = dict(zip(FIT_KEYS, self._fit(times, losses - least), strict=True))
        spectra = {name: values[member] for name, values in measurement.feature_measures.items()}
        share = self._shares[member]
        spectra["feature_loss"] = measurement.feature_loss[member]
        if share is not None:
            with np.errstate(invalid="ignore"):
                spectra["feature_loss"] = spectra["feature_loss"] / share
        binned = {name: binned_mean(values, self._edges[member]) for name, values in spectra.items()}
        row = (
            {"step": measurement.step, "lr_time": float(times[-1]), "loss": float(losses[-1])}
            | {"lr": float(measurement.lr[member]), **self._tokens(measurement.step)}
            | {key: float(value) for key, value in fitted.items() if math.isfinite(value)}
            | {f"{name}/bin_{j:02d}": float(value) for name, bins in binned.items() for j, value in enumerate(bins)}
            | {name: float(values[member]) for name, values in measurement.measures.items()}
        )
        return {key: value for key, value in row.items() if not math.isnan(value)}

    def _tokens(self, step: int) -> dict[str, int]:
        """How many tokens a run has trained on; of runs that read none nothing."""
        data = self._configs[0].data
        return {"tokens": step * data.samples_per_step} if data.kind == "tokens" else {}

    def _speed(self, step: int) -> dict[str, float]:
        """Tokens a second of the whole pack and MFU since the last measurement, that one's evaluation included."""
        before, now = self._last, (time.monotonic(), step)
        self._last = now
        if self._throughput is None or step <= before[1]:
            return {}
        return self._throughput.rates((step - before[1]) / max(now[0] - before[0], 1e-9))

    def _curve_until(self, folder: RunFolder, step: int) -> list[tuple[float, float]]:
        """(τ, L) of the rows that a resumed run keeps; none at step 0, which is measured anew."""
        curve = folder.curve()
        if step == 0 or curve is None:
            return []
        kept = curve["step"] <= step
        return list(zip(curve["lr_time"][kept].tolist(), curve["loss"][kept].tolist(), strict=True))

    @contextmanager
    def _unharmed(self, member: int) -> Iterator[None]:
        """Whatever goes wrong in the view, training goes on; the first mishap is warned about."""
        try:
            yield
        except Exception as error:
            broken = self._runs.pop(member, None)
            if broken is not None:
                broken.abandon()
            name = self._folders[member].name
            if not self.not_logged:
                warnings.warn(
                    f"W&B no longer shows run {name}, whose files go on: {type(error).__name__}: {error}",
                    stacklevel=3,
                )
            self.not_logged.append(name)
