"""How far a sweep and its pack in training are: a live line on a terminal, else a line every ten seconds.

It never waits for the device: the loss shown is the median over members of the last measurement.
"""

import time
from typing import Any

import numpy as np
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console

from superdyn.runs.live_display import LiveDisplay
from superdyn.runs.time_left import TimeLeft
from superdyn.training.grid import measurement_steps
from superdyn.training.throughput import Throughput

REDRAW_SECONDS = 0.25


class Progress(Callback):
    """Progress of a sweep, pack after pack; one object serves them all.

    Args:
        total_runs: runs of the sweep; None where other processes share them and only the own ones can be counted.
        done_runs: those that were done before this process began.
        console: where to write; standard output by default.
    """

    def __init__(self, total_runs: int | None, done_runs: int = 0, console: Console | None = None):
        self._total, self._done_before, self._done = total_runs, done_runs, done_runs
        self._display = LiveDisplay(REDRAW_SECONDS, console)
        self._shown = False
        self._sweep_started = time.monotonic()
        self._pack_started = 0.0
        self._first_step = self._members = self._max_steps = 0
        self._loss = float("nan")
        self._throughput: Throughput | None = None
        self._time_left: TimeLeft | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin with the pack of this module; silent where `trainer.progress` is false."""
        module: Any = pl_module
        settings = module.configs[0].trainer
        self._shown = settings.progress and trainer.is_global_zero
        self._members, self._max_steps = len(module.configs), settings.max_steps
        self._first_step, self._loss = module.step, float("nan")
        self._throughput = Throughput.of(module.configs)
        self._pack_started = time.monotonic()
        measured = measurement_steps(settings.max_steps, settings.points_per_decade)
        self._time_left = TimeLeft(measured, module.step, self._pack_started)
        if self._shown:
            self._display.start()
        self._show(module.step)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw if it is time."""
        module: Any = pl_module
        measurement = outputs["measurement"]
        if measurement is not None:
            self._loss = float(np.median(measurement.loss))
            if self._time_left is not None:
                self._time_left.measure(module.step, time.monotonic())
        self._show(module.step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Count the pack's runs and leave its last line standing."""
        module: Any = pl_module
        self._done, self._members = self._done + self._members, 0
        self._close(module.step)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the last line standing, so that the error is read below it."""
        module: Any = pl_module
        self._close(module.step)

    def line(self, step: int) -> str:
        """The line shown at optimizer step `step`: what is done, how fast, what remains."""
        seconds = time.monotonic() - self._pack_started
        speed = (step - self._first_step) / seconds if seconds > 0 else 0.0
        parts = [
            f"{self._done} runs finished" if self._total is None else f"{self._done}/{self._total} runs finished",
            f"step {step:,}/{self._max_steps:,}",
            f"{speed:,.0f} steps/s",
        ]
        if self._throughput is not None:
            rates = self._throughput.rates(speed)
            parts.append(f"{rates['tokens_per_second']:,.0f} tokens/s")
            parts += [f"MFU {rates['mfu']:.1%}"] if "mfu" in rates else []
        if self._members:
            parts.insert(1, f"{self._members} in training")
        if np.isfinite(self._loss):
            parts.append(f"median loss {self._loss:.3g}")
        pack = None if self._time_left is None else self._time_left.seconds(step, time.monotonic())
        if self._members and pack is not None and step < self._max_steps:  # all may diverge before the last step
            parts.append(f"{_duration(self._seconds_left(pack))} left")
        return " · ".join(parts)

    def _seconds_left(self, pack: float) -> float:
        """`pack` seconds for the rest of this pack, and the other runs at the mean time of a run so far."""
        others = 0 if self._total is None else max(self._total - self._done - self._members, 0)
        finished = self._done - self._done_before
        per_run = (time.monotonic() - self._pack_started + pack) / self._members
        if finished:
            per_run = (self._pack_started - self._sweep_started) / finished
        return pack + others * per_run

    def _show(self, step: int) -> None:
        if self._shown and self._display.is_due():
            self._display.draw(self.line(step))

    def _close(self, step: int) -> None:
        if self._shown:
            self._display.stop(self.line(step))
            self._shown = False


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes}:{seconds:02d} min"
