"""What one worker process is to train: some points of a sweep, as a small file that any machine can read.

The configurations are in the run folders; the file only names the folders, so that it holds nothing secret and nothing
that could disagree with them.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from superdyn.atomic import write_text_atomically
from superdyn.runs.folder import RunFolder
from superdyn.sweeps.launch import Launch
from superdyn.sweeps.points import Point, point_of


@dataclass(frozen=True)
class Task:
    """Points of one launch.

    Attributes:
        sweep_dir: absolute path of the sweep's folder, or of the one run's.
        folders: names of run folders in it; "." for the one run.
        retry: as in `Launch`.
        parts: into how many packs each group of one shape is cut, at least; that many workers can then share it.
        memory_share: the part of the free memory that the worker may count on.
        pack_limit: most runs in a pack, or None.
        n_ranks: how many ranks train each of the runs, on each machine that the worker has.
    """

    sweep_dir: str
    folders: tuple[str, ...]
    retry: Mapping[str, float] = field(default_factory=dict)
    parts: int = 1
    memory_share: float = 1.0
    pack_limit: int | None = None
    n_ranks: int = 1

    @classmethod
    def of(
        cls,
        launch: Launch,
        points: Sequence[Point],
        parts: int = 1,
        memory_share: float = 1.0,
        pack_limit: int | None = None,
    ) -> "Task":
        """The task to train these points of a launch."""
        root = launch.sweep_dir.absolute()
        folders = tuple(str(point.folder.path.absolute().relative_to(root)) for point in points)
        retry = {p.signature: launch.retry[p.signature] for p in points if p.signature in launch.retry}
        return cls(str(root), folders, retry, parts, memory_share, pack_limit, points[0].config.trainer.devices)

    def write(self, path: Path) -> Path:
        """Write the file; returns its path."""
        write_text_atomically(path, json.dumps(asdict(self), indent=1))
        return path

    @classmethod
    def read(cls, path: Path) -> "Task":
        """The task in a file."""
        content = json.loads(path.read_text(encoding="utf-8"))
        return cls(**content | {"folders": tuple(content["folders"])})

    @property
    def run_folders(self) -> list[RunFolder]:
        """The folders of its points."""
        return [RunFolder(Path(self.sweep_dir) / name) for name in self.folders]

    def launch(self) -> Launch:
        """The launch of these points in this process."""
        points = tuple(point_of(folder) for folder in self.run_folders)
        return Launch(Path(self.sweep_dir), points, self.retry, self.parts, self.memory_share, self.pack_limit)
