"""Checkpoints in parts, one a rank: `step-<step>.<i>-of-<n>.pt`, which count once all n are there.

A part holds what a whole checkpoint holds, with this rank's shards in the place of wholes, and where each lies: axis,
first entry and the shape of its whole. All parts of one save carry the same mark, so that those of two attempts at one
step are never taken for one state. Any layout is read from any other: a reader maps the files into memory and copies
what it wants, whether they are parts or one whole checkpoint.
"""

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from superdyn.training.sharding import Place

_NAME = re.compile(r"step-(\d{10})(?:\.(\d+)-of-(\d+))?\.pt")


def part_path(directory: Path, step: int, rank: int, size: int) -> Path:
    """The file of one of `size` ranks, which are counted from 0 and named from 1."""
    return directory / f"step-{step:010d}.{rank + 1}-of-{size}.pt"


def step_of(name: str) -> int | None:
    """The step of the checkpoint that a file of this name belongs to; None if it is no such file."""
    match = _NAME.fullmatch(name)
    return None if match is None else int(match[1])


def files_by_step(directory: Path) -> dict[int, list[Path]]:
    """All files of checkpoints, parts of incomplete ones too, by step, ascending."""
    found: dict[int, list[Path]] = {}
    for path in sorted(directory.glob("step-*.pt")):
        if (step := step_of(path.name)) is not None:
            found.setdefault(step, []).append(path)
    return found


def complete(files: Sequence[Path]) -> list[list[Path]]:
    """Of the files of one step: the whole checkpoint, then the sets of parts that lack none."""
    sets: dict[int, list[Path]] = {}
    for path in files:
        match = _NAME.fullmatch(path.name)
        assert match is not None
        sets.setdefault(int(match[3] or 0), []).append(path)
    order = {size: sorted(paths, key=_index) for size, paths in sets.items()}
    return [paths for size, paths in sorted(order.items()) if [_index(p) for p in paths] == list(range(size or 1))]


def incomplete(files: Sequence[Path]) -> list[Path]:
    """Of the files of one step: the parts whose set lacks others."""
    return sorted(set(files).difference(path for paths in complete(files) for path in paths))


def _index(path: Path) -> int:
    match = _NAME.fullmatch(path.name)
    assert match is not None
    return int(match[2] or 1) - 1


class SavedState(Mapping[str, Tensor]):
    """The state in the files of one checkpoint: whole tensors by name, or pieces of them, read when asked for.

    It travels to other processes as the names of the files.

    Args:
        paths: a whole checkpoint, or all its parts.
    """

    def __init__(self, paths: Sequence[Path]):
        self._paths = [Path(path) for path in paths]
        self._opened: list[dict[str, Any]] | None = None

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return self._contents[0]["step"]

    @property
    def meta(self) -> dict[str, Any]:
        """Plain values."""
        return self._contents[0]["meta"]

    def close(self) -> None:
        """Let go of the files, which are opened again when needed: mapped files keep their room after deletion."""
        self._opened = None

    def check(self) -> None:
        """Read every byte once, without keeping any.

        Raises:
            ValueError: a file is damaged, or the parts are of different saves.
        """
        for path in self._paths:
            with zipfile.ZipFile(path) as archive:
                if damaged := archive.testzip():
                    raise ValueError(f"{path.name}: {damaged} is damaged")
        if len({(content["step"], content.get("mark")) for content in self._contents}) > 1:
            raise ValueError("its parts were not saved together")

    def piece(self, name: str, place: Place | None) -> Tensor:
        """The part of a tensor that lies at `place`; all of it for None."""
        shards = list(self._shards(name))
        if not shards:
            whole = self._contents[0]["state"][name]
            return whole if place is None else place.of(whole)
        shape = shards[0][0].shape
        place = Place(0, 0, shape[0], shape) if place is None else place
        if place.shape != shape:
            raise ValueError(f"{self._paths[0].name}: {name} has shape {list(shape)}, not {list(place.shape)}")
        size = [place.length if axis == place.dim else n for axis, n in enumerate(shape)]
        found = shards[0][1].new_empty(size)
        for saved, shard in shards:
            _copy_overlap(found, place, shard, saved)
        return found

    def _shards(self, name: str) -> Iterator[tuple[Place, Tensor]]:
        for content in self._contents:
            if name in content.get("places", {}):
                shard, place = content["state"][name], content["places"][name]
                yield Place(place["dim"], place["start"], shard.shape[place["dim"]], tuple(place["shape"])), shard

    @property
    def _contents(self) -> list[dict[str, Any]]:
        if self._opened is None:
            self._opened = [torch.load(p, map_location="cpu", weights_only=True, mmap=True) for p in self._paths]
        return self._opened

    def __getitem__(self, name: str) -> Tensor:
        return self.piece(name, None).clone()

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents[0]["state"])

    def __len__(self) -> int:
        return len(self._contents[0]["state"])

    def __reduce__(self) -> tuple[type["SavedState"], tuple[list[Path]]]:
        return SavedState, (self._paths,)


def _copy_overlap(target: Tensor, wanted: Place, shard: Tensor, saved: Place) -> None:
    """Copy into `target`, which lies at `wanted`, what it has in common with `shard`, which lies at `saved`."""
    if wanted.dim != saved.dim:
        target.narrow(saved.dim, saved.start, saved.length).copy_(wanted.of(shard))
        return
    start = max(wanted.start, saved.start)
    length = min(wanted.start + wanted.length, saved.start + saved.length) - start
    if length > 0:
        part = target.narrow(wanted.dim, start - wanted.start, length)
        part.copy_(shard.narrow(saved.dim, start - saved.start, length))
