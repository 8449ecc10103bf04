"""The account of runs that a process left unfinished: how often each, and how large packs may still be.

Worker processes here, jobs and tasks of a cluster are all tried `launcher.retries` times more.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from superdyn.sweeps.launch import write_failed
from superdyn.sweeps.points import Point


class Attempts:
    """How often what was tried.

    Args:
        retries: how often a run is tried again.

    Attributes:
        pack_limit: most runs in a pack, halved when memory ran out; None while it never did.
    """

    def __init__(self, retries: int):
        self.pack_limit: int | None = None
        self._retries = retries
        self._times: Counter[str] = Counter()

    def failed(self, points: Sequence[Point], how: str, log: Path, *, out_of_memory: bool) -> list[Point]:
        """Take note of runs that were left unfinished, by their process's end `how`.

        Returns:
            Those that are to be tried again; the others are marked as failed.
        """
        if out_of_memory and len(points) > 1:
            self.pack_limit = (len(points) + 1) // 2
        self._times.update(point.signature for point in points)
        hopeless = [point for point in points if self._times[point.signature] > self._retries]
        write_failed(hopeless, f"not finished after {self._retries + 1} attempts, the last ended by {how}: {log}")
        return [point for point in points if point not in hopeless]

    def may_start_again(self, name: str) -> bool:
        """Take note of a process of this name that ended with nothing in its hands; whether to start another."""
        self._times[name] += 1
        return self._times[name] <= self._retries
