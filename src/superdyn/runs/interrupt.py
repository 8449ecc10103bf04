"""Signals that wait for the end of a chunk, so that the saved state is one that training passes through.

Python raises KeyboardInterrupt between any two operations; half-way through an update the parameters belong
to one step and the optimizer to another. Alone, a run leaves SIGTERM to Lightning, which itself waits for the end of a
batch. Of several ranks each may hear of a signal in another chunk, or only one of them may; they must stop at the same
chunk, and Lightning's answer to SIGTERM, a broadcast from inside the signal handler, would meet their own reductions.
"""

import signal
import threading
from types import FrameType

from pytorch_lightning.utilities.exceptions import SIGTERMException

STOPPING = (signal.SIGINT, signal.SIGTERM)


class DeferredInterrupt:
    """Remembers the first signal; alone, a second Ctrl-C interrupts at once, as usual.

    Attributes:
        requested: the number of the signal, 0 while there was none.
    """

    def __init__(self) -> None:
        self.requested = 0
        self._alone = True
        self._previous: dict[int, object] = {}

    def install(self, *, alone: bool = True) -> None:
        """Start to listen, to SIGTERM too if not `alone`; does nothing outside the main thread, as Python wants."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._alone = alone
        for number in STOPPING[:1] if alone else STOPPING:
            self._previous[number] = signal.signal(number, self._handle)

    def restore(self) -> None:
        """Put the handlers back that were there before, unless Lightning has done so."""
        for number, handler in self._previous.items():
            if signal.getsignal(number) == self._handle:
                signal.signal(number, handler)  # pyright: ignore[reportArgumentType]
        self._previous = {}

    def stop(self, number: int) -> None:
        """Answer to signal `number` as Lightning expects it.

        Raises:
            KeyboardInterrupt: on Ctrl-C.
            SIGTERMException: on SIGTERM.
        """
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        if number == signal.SIGTERM:
            raise SIGTERMException

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and self._alone:
            raise KeyboardInterrupt
        self.requested = number
