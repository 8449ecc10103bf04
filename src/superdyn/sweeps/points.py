"""The points of a sweep: runs to be, each a typed configuration with a folder of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from superdyn.config import ClaimConfig, ConfigError, RunConfig
from superdyn.runs.adopt import reread
from superdyn.runs.folder import RunFolder
from superdyn.runs.ownership import current_status
from superdyn.runs.status import State, Status


@dataclass(frozen=True)
class Point:
    """One run to be: what the user asked for, what that means, and where it goes."""

    overrides: tuple[str, ...]
    config: RunConfig
    folder: RunFolder

    @cached_property
    def signature(self) -> str:
        """Hex digest that names the run."""
        return self.config.signature()

    def status(self) -> Status | None:
        """What the point's folder says now; None where it does not say."""
        return current_status(self.folder)

    def state(self) -> State | None:
        """The state in it."""
        status = self.status()
        return None if status is None else status.state


@dataclass(frozen=True)
class Experiment:
    """The part of a launch that belongs to one experiment: its claim and the signatures of its runs."""

    claim: ClaimConfig | None
    signatures: tuple[str, ...]


@dataclass(frozen=True)
class Grid:
    """A launch: its distinct points, and by name the experiments that need them (one run may serve several)."""

    points: tuple[Point, ...]
    experiments: Mapping[str, Experiment]


def point_of(folder: RunFolder) -> Point:
    """The point that a run folder's own configuration describes.

    Raises:
        ValueError: the folder has no configuration, or one that cannot be read or run.
    """
    reading = reread(folder)
    if reading.config is None:
        raise ConfigError(f"{folder.path / 'config.yaml'}: {reading.refusal}")
    return Point((), reading.config, folder)
