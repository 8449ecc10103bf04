"""Trains pack after pack in this process: what `launcher=pack` does, and every worker of the other executors.

A pack that stops with an error of its own is recorded as failed and does not stop the others. A pack that does not fit
in memory is split and tried again; a device that is gone or a disk that cannot be written ends the launch.
"""

import gc
import warnings
from collections.abc import Sequence
from contextlib import suppress

import torch

from superdyn.runs.faults import SweepStoppedError, fault_of
from superdyn.runs.progress import Progress
from superdyn.sweeps.launch import Launch, write_failed
from superdyn.sweeps.packing import Pack, loaded, make_packs
from superdyn.sweeps.points import Point
from superdyn.sweeps.train_pack import train_pack
from superdyn.training.data_parallel import Ranks


class InProcess:
    """Executor of this process."""

    def __init__(self, launch: Launch, progress: Progress):
        self._launch, self._progress = launch, progress
        self._group = launch.sweep_dir.absolute().name

    def run(self, points: Sequence[Point]) -> None:
        """Train the points that are still free when their turn comes.

        Raises:
            SweepStoppedError: nothing more can be trained in this process.
            KeyboardInterrupt, SystemExit: as `train_pack`.
        """
        launch = self._launch
        for pack in make_packs(points, launch.parts, launch.memory_share, launch.pack_limit):
            self._train(pack)

    def _train(self, pack: Pack) -> None:
        for part in self._taken(pack):
            error = self._try(part)
            if error is not None:
                for smaller in self._after(part, error):
                    self.run(smaller)

    def _taken(self, pack: Pack) -> list[Pack]:
        """The members that are free, made this process's own, with their checkpoints."""
        try:
            free = self._launch.take(pack.points, pack.start_step)
            return loaded(Pack(tuple(free), pack.start_step)) if free else []
        except OSError as error:
            if fault_of(error) != "storage":
                raise
            raise _stopped(error) from error

    def _try(self, pack: Pack) -> Exception | None:
        """Train the pack, and hand its error out of the frames that still hold its tensors."""
        try:
            train_pack(pack, self._group, self._progress)
        except Exception as error:
            return error
        return None

    def _after(self, pack: Pack, error: Exception) -> list[tuple[Point, ...]]:
        """Record what stopped the pack; returns the groups of points that are to be tried instead."""
        fault, text, members = fault_of(error), f"{type(error).__name__}: {error}", pack.points
        alone = Ranks.current().size == 1
        if fault == "memory" and len(members) > 1 and alone:
            warnings.warn(f"{len(members)} runs do not fit in memory and are retried in halves ({text})", stacklevel=2)
            error.__traceback__ = None
            _free_memory()
            return [members[: len(members) // 2], members[len(members) // 2 :]]
        if fault in ("device", "storage"):
            raise _stopped(error) from error
        with suppress(OSError):
            write_failed(members, text)
        warnings.warn(f"{len(members)} runs stopped: {error}", stacklevel=2)
        if alone:
            return []
        # The other ranks wait in the middle of a step; the end of this process ends theirs.
        raise SystemExit(1) from error


def _stopped(error: Exception) -> SweepStoppedError:
    what = "the device is lost" if fault_of(error) == "device" else "run folders cannot be written"
    return SweepStoppedError(f"{what} ({type(error).__name__}: {error}); repeat the command to resume")


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
