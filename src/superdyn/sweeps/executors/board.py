"""What the workers of a launch are doing: a live table on a terminal, else a line every ten seconds."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from rich.table import Table
from rich.text import Text

from superdyn.runs.live_display import LiveDisplay
from superdyn.sweeps.launch import Launch

_REDRAW_SECONDS = 1.0
_TAIL_BYTES = 2000


class Board:
    """Counts the launch's runs from their folders and shows the last line of every worker's log.

    Args:
        launch: what is trained.
        workers: how many can be at work at a time.
        skipped: runs that were done before.
        shown: whether to show anything but messages.
    """

    def __init__(self, launch: Launch, workers: int, skipped: int, *, shown: bool):
        self._launch, self._workers, self._skipped, self._shown = launch, workers, skipped, shown
        self._display = LiveDisplay(_REDRAW_SECONDS)

    def __enter__(self) -> "Board":
        if self._shown:
            self._display.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        if self._shown:
            self._display.stop(self.headline(0))

    def show(self, logs: Mapping[str, Path]) -> None:
        """Redraw if it is time; `logs` are those of the workers at work, by slot."""
        if not self._shown or not self._display.is_due():
            return
        table = Table(box=None, pad_edge=False, show_header=False)
        for slot, log in logs.items():
            table.add_row(slot, Text(last_line(log)))
        self._display.draw(self.headline(len(logs)), table)

    def say(self, line: str) -> None:
        """A message above the table, whether or not the table is shown."""
        self._display.say(line)

    def headline(self, at_work: int) -> str:
        """How far the launch is, in one line."""
        statuses = [point.status() for point in self._launch.points]
        states = Counter(status.state for status in statuses if status is not None)
        parts = [f"{states['done']}/{len(statuses)} runs done ({self._skipped} before)"]
        parts += [f"{states['failed']} failed"] if states["failed"] else []
        parts += [f"{states['running']} in training"] if states["running"] else []
        parts += [f"{at_work} of {self._workers} workers at work"] if at_work else []
        return " · ".join(parts)


def last_line(log: Path) -> str:
    """The last line of a log that has anything in it, without reading the rest."""
    with log.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - _TAIL_BYTES))
        lines = file.read().decode("utf-8", "replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "starting")
