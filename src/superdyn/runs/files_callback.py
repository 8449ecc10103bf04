"""Writes the run folders of a pack while it trains: curve, spectrum, checkpoint, status, each on a clock.

Order on disk: curve and spectrum, then the checkpoint, then the status. A kill between any two writes
therefore leaves a curve that holds every row up to the newest checkpoint; resuming drops the rows after it. Of several
ranks the first writes and all stop at the end of the same chunk; of sharded parameters each saves its part when the
first says so.
Axis legend: `r` member.
"""

import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.utilities.exceptions import SIGTERMException

from superdyn.config import RunConfig
from superdyn.runs.checkpoints import save_checkpoint
from superdyn.runs.faults import fault_of
from superdyn.runs.folder import RunFolder
from superdyn.runs.interrupt import DeferredInterrupt
from superdyn.runs.record import Record
from superdyn.runs.shard_writer import save_shards
from superdyn.runs.status import State, Status
from superdyn.training.data_parallel import RankLost, Ranks
from superdyn.training.measurement import Measurement

HEARTBEAT_SECONDS = 60.0

LARGEST_SHARE = 0.05
"""Writing takes no larger share of the time, however large the state and short the interval."""


class RunFiles(Callback):
    """One run folder per member, in the order of the module's `configs`.

    Args:
        folders: (r,) where each member's files go.
        on_done: called with the folder of a member that has finished, after its curve, spectrum and
            checkpoint and before its state becomes done; writes `result.json`.
    """

    def __init__(self, folders: Sequence[RunFolder], on_done: Callable[[RunFolder], None] | None = None):
        self.folders = list(folders)
        self._on_done = on_done
        self._configs: list[RunConfig] = []
        self._signatures: list[str] = []
        self._records: list[Record] = []
        self._open: list[int] = []
        """Members that are neither done nor failed."""
        self._between_chunks = True
        self._interrupt = DeferredInterrupt()
        self._ranks = Ranks(0, 1)
        self._sharded = False
        self._stop = 0
        """The signal at which all ranks stop."""
        self._next_save = self._next_heartbeat = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Open the folders; a resumed member keeps its rows up to the step it resumes at.

        Raises:
            ValueError: there is not one folder per member, or a folder holds another run.
        """
        module: Any = pl_module
        self._ranks, self._configs = Ranks.current(), list(module.configs)
        self._sharded = self._ranks.size > 1 and self._configs[0].trainer.shards
        if not self._ranks.is_first:
            self._interrupt.install(alone=False)
            return
        self._signatures = [config.signature() for config in self._configs]
        if len(self.folders) != len(self._configs):
            raise ValueError(f"folders: {len(self.folders)} for {len(self._configs)} members, must be one each")
        for folder, config, signature in zip(self.folders, self._configs, self._signatures, strict=True):
            folder.prepare(config.to_mapping(), signature)
        self._records = [
            Record.resumed(folder, module.step, {name: of_bins[r] for name, of_bins in module.of_bins.items()})
            for r, folder in enumerate(self.folders)
        ]
        self._open = list(range(len(self.folders)))
        self._write_statuses("running", module.step)
        self._next_save = time.monotonic() + self._save_seconds()
        self._interrupt.install(alone=self._ranks.size == 1)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Stop here if Ctrl+C was pressed during the last chunk, whose end every callback has now seen."""
        self._interrupt.stop(self._interrupt.requested if self._ranks.size == 1 else self._stop)
        self._between_chunks = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take in the chunk's measurement; write everything, or a heartbeat, when it is time."""
        self._between_chunks = True
        module: Any = pl_module
        due = self._ranks.is_first and self._take_in(module, outputs["measurement"])
        finished = int(self._ranks.is_first and not self._open)
        self._stop, finished, due = self._ranks.largest([self._interrupt.requested, finished, int(due)])
        trainer.should_stop = trainer.should_stop or bool(finished)
        if due:
            self._write(module)

    def _take_in(self, module: Any, measurement: Measurement | None) -> bool:
        """Take in a measurement and keep the heart beating; whether everything is to be written."""
        if measurement is not None:
            self._take(measurement)
        now, scheduled = time.monotonic(), module.step in module.kept_steps
        if scheduled or now >= min(self._next_save, self._next_heartbeat):
            self._leave_what_others_took()
        due = scheduled or now >= self._next_save
        if now >= self._next_heartbeat and not due:
            self._write_statuses("running", module.step)
        return due

    def _write(self, module: Any) -> None:
        began = time.monotonic()
        self._save(module)
        if self._ranks.is_first:
            self._write_statuses("running", module.step)
            written = time.monotonic()
            self._next_save = written + max(self._save_seconds(), (written - began) / LARGEST_SHARE)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Close the folders: done, or interrupted if the trainer was told to stop early."""
        module: Any = pl_module
        self._leave_what_others_took()
        self._save(module)
        if not self._ranks.is_first:
            return
        if module.step < self._configs[0].trainer.max_steps:
            self._write_statuses("interrupted", module.step)
            return
        for member in list(self._open):
            if self._on_done is not None:
                self._on_done(self.folders[member])
            self._write_status(member, "done", module.step)
            self._open.remove(member)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Close the folders of the members still at work.

        Interrupted by a signal, by the end of another rank, or by a fault of memory, device or disk, which is not
        theirs; failed by an error.
        """
        module: Any = pl_module
        self._leave_what_others_took()
        if isinstance(exception, KeyboardInterrupt | SystemExit | SIGTERMException):
            alone = isinstance(exception, RankLost) or not self._stop
            self._save(module, alone=alone)
            self._write_statuses("interrupted", module.step)
            return
        if not self._records:
            return
        fault = fault_of(exception)
        reason = f"{type(exception).__name__}: {exception}"
        if fault == "storage":
            return
        for member in self._open:
            self._records[member].write(self.folders[member])
        if fault == "run":
            trace = "".join(traceback.format_exception(exception))
            self._write_statuses("failed", module.step, reason, trace)
        else:
            self._write_statuses("interrupted", module.step, reason)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Give Ctrl+C back; after an exception Lightning does so itself, once it has closed everything."""
        self._interrupt.restore()

    def _take(self, measurement: Measurement) -> None:
        for member in list(self._open):
            diverged_at = int(measurement.diverged_at[member])
            if diverged_at >= 0:
                self._fail(member, diverged_at)
            else:
                self._records[member].append(
                    step=measurement.step,
                    lr_time=float(measurement.lr_time[member]),
                    loss=float(measurement.loss[member]),
                    feature_loss=measurement.feature_loss[member],
                    measures={name: float(values[member]) for name, values in measurement.measures.items()},
                    feature_measures={n: values[member] for n, values in measurement.feature_measures.items()},
                )

    def _fail(self, member: int, step: int) -> None:
        self._records[member].write(self.folders[member])
        self._write_status(member, "failed", step, f"diverged at step {step}: the loss is not finite")
        self._open.remove(member)

    def _leave_what_others_took(self) -> None:
        """Write no more to a folder that another process trains in or has finished, or where another rank failed.

        Another host takes a run over when it has not heard of this one for ten minutes, e.g. while this one slept.
        """
        for member in list(self._open):
            status = self.folders[member].status()
            if status is None or status.state == "interrupted" or status.is_ours():
                continue
            if status.state != "failed":
                warnings.warn(
                    f"{self.folders[member].path} was taken over by process {status.pid} on {status.host}; "
                    "this process no longer writes to it",
                    stacklevel=2,
                )
            self._open.remove(member)

    def _save(self, module: Any, *, alone: bool = False) -> None:
        """Write curves and checkpoints; `alone`: the other ranks do not save now."""
        for member in self._open:
            self._records[member].write(self.folders[member])
            if self._between_chunks and not self._sharded:
                meta = {"signature": self._signatures[member]}
                state, scheduled = module.member_state(member), module.kept_steps
                save_checkpoint(self.folders[member].checkpoints, module.step, state, meta, scheduled)
        if self._between_chunks and self._sharded and not alone:
            self._save_shards(module)

    def _save_shards(self, module: Any) -> None:
        directory = self.folders[0].checkpoints if self._open else None
        meta = {"signature": self._signatures[0]} if self._open else {}
        self._between_chunks = False  # an error in here finds the other ranks at another place
        state, places = partial(module.member_state, 0), module.member_places
        save_shards(self._ranks, directory, module.step, state, places, meta, module.kept_steps)
        self._between_chunks = True

    def _write_statuses(self, state: State, step: int, error: str | None = None, trace: str | None = None) -> None:
        for member in self._open:
            self._write_status(member, state, step, error, trace)
        self._next_heartbeat = time.monotonic() + HEARTBEAT_SECONDS

    def _write_status(
        self, member: int, state: State, step: int, error: str | None = None, trace: str | None = None
    ) -> None:
        folder = self.folders[member]
        max_steps = self._configs[member].trainer.max_steps
        folder.write_status(Status(state, step, max_steps, self._signatures[member], folder.name, error, trace))

    def _save_seconds(self) -> float:
        return 60.0 * min(config.trainer.checkpoint_minutes for config in self._configs)
