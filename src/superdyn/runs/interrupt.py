"""Ctrl+C that waits for the end of a chunk, so that the saved state is one that training passes through.

Python raises KeyboardInterrupt between any two operations; half-way through an update the parameters belong
to one step and the optimizer to another. SIGTERM needs no such care: Lightning itself waits for the end of
a batch.
"""

import signal
import threading
from types import FrameType


class DeferredInterrupt:
    """Remembers the first SIGINT; a second one interrupts at once, as usual.

    Attributes:
        requested: True once Ctrl+C was pressed.
    """

    def __init__(self) -> None:
        self.requested = False
        self._previous = None

    def install(self) -> None:
        """Start to listen; does nothing outside the main thread, where Python allows no signal handlers."""
        if threading.current_thread() is threading.main_thread():
            self._previous = signal.signal(signal.SIGINT, self._handle)

    def restore(self) -> None:
        """Put the handler back that was there before."""
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)
            self._previous = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
