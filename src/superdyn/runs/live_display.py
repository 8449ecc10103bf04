"""What a process shows while it works: redrawn in place on a terminal, a line every ten seconds elsewhere."""

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

LINE_SECONDS = 10.0


class LiveDisplay:
    """A line, on a terminal with a table below it if need be.

    Args:
        redraw_seconds: between two drawings on a terminal.
        console: where to write; standard output by default.
    """

    def __init__(self, redraw_seconds: float, console: Console | None = None):
        self._redraw_seconds, self._console = redraw_seconds, console or Console()
        self._live: Live | None = None
        self._next = 0.0

    def start(self) -> None:
        """Begin; the first drawing is due."""
        self._next = 0.0
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=True)
            self._live.start()

    def is_due(self) -> bool:
        """Whether it is time to draw, which is then not due for a while."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + (LINE_SECONDS if self._live is None else self._redraw_seconds)
        return True

    def draw(self, line: str, *below: RenderableType) -> None:
        """Replace what is there, or print the line."""
        if self._live is None:
            self.say(line)
        else:
            self._live.update(Group(Text(line), *below), refresh=True)

    def say(self, line: str) -> None:
        """Print a line that stays, above what is redrawn."""
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)

    def stop(self, line: str) -> None:
        """End, and leave this line."""
        if self._live is not None:
            self._live.stop()
            self._live = None
        self.say(line)
