"""What became of the points of a launch, as their folders say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from superdyn.sweeps.exit_codes import INTERRUPTED
from superdyn.sweeps.points import Experiment, Point


@dataclass(frozen=True)
class SweepOutcome:
    """Counts and names.

    Attributes:
        failed, unfinished: folder names of the points that failed, and of those that are neither done nor failed.
        skipped: how many points were done before.
        interrupted: whether the user stopped the launch.
        stopped: why the launch could not go on, in one sentence, or None.
        handed_over: who trains the unfinished points without this launch (`launcher.wait=false`), or None.
    """

    sweep_dir: Path
    total: int
    done: int
    failed: tuple[str, ...]
    skipped: int
    unfinished: tuple[str, ...] = ()
    interrupted: bool = False
    stopped: str | None = None
    handed_over: str | None = None
    experiments: Mapping[str, Experiment] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 when every point is done, 1 when one is not, 130 when the user stopped; points handed over do not count."""
        if self.handed_over is not None:
            return int(bool(self.failed))
        return INTERRUPTED if self.interrupted else int(self.done < self.total)

    def summary(self) -> str:
        """What happened and, where something is left to do, the command that does it."""
        counts = f"{self.done} done ({self.skipped} before), {len(self.failed)} failed"
        counts += f", {len(self.unfinished)} unfinished" if self.unfinished else ""
        text = f"{counts}, {self.total} runs in {self.sweep_dir}"
        if self.interrupted:
            return f"{text}\nstopped; resume with the same command, or: superdyn retry {self.sweep_dir}"
        if self.stopped is not None:
            return f"{text}\nstopped: {self.stopped}"
        if self.handed_over is not None:
            return f"{text}\n{self.handed_over}"
        if self.failed:
            return f"{text}\nfailed: {', '.join(self.failed[:5])}; why: superdyn status {self.sweep_dir}"
        return text


def outcome_of(points: Sequence[Point], sweep_dir: Path, skipped: int) -> SweepOutcome:
    """The outcome, from the points' folders."""
    states = {point.folder.name: point.state() for point in points}
    failed = tuple(name for name, state in states.items() if state == "failed")
    done = sum(state == "done" for state in states.values())
    unfinished = tuple(name for name, state in states.items() if state not in ("failed", "done"))
    return SweepOutcome(sweep_dir, len(points), done, failed, skipped, unfinished)
