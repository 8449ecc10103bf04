"""What hashes and manifest cost, against the same saves and loads without them, in turns on the same disk (slow).

`python -m pytest -m slow -s tests/runs/test_manifest_cost.py` prints medians of wall and CPU time.
"""

import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_pack import EVERY_CHUNK, TinyPack, fit, make_config

from superdyn.atomic import write_atomically
from superdyn.runs import checkpoints, files_callback, manifest
from superdyn.runs.files_callback import RunFiles
from superdyn.runs.folder import RunFolder
from superdyn.runs.hashed_file import Entry

pytestmark = [
    pytest.mark.slow,
    # Lightning 2.6 asks torch about tree leaves in a way that torch 2.13 deprecates.
    pytest.mark.filterwarnings("ignore:`isinstance.treespec, LeafSpec.`:FutureWarning"),
]


class Turns:
    """Times of calls with and without manifest and hashes; the first call of each kind is left out."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self._monkeypatch = monkeypatch
        self._times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}

    def take(self, listed: bool, call: Callable[[], object]) -> None:
        with self._monkeypatch.context() as patch:
            if not listed:
                patch.setattr(checkpoints, "enter", lambda *_: None)
                patch.setattr(checkpoints, "withdraw", lambda *_: False)
                patch.setattr(checkpoints, "damage", lambda *_: None)
                patch.setattr(checkpoints, "write_hashed", _write_plain)
                patch.setattr(manifest, "withdraw", lambda *_: False)
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            self._times[listed].append((time.perf_counter() - wall, time.process_time() - cpu))

    def medians(self, what: str) -> None:
        wall, cpu = (
            [1e3 * statistics.median(times[kind] for times in self._times[listed][1:]) for listed in (False, True)]
            for kind in (0, 1)
        )
        load = f"{len(self._times[True]) - 1} times each, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
        print(f"\n{what}: {wall[0]:.0f} → {wall[1]:.0f} ms, CPU {cpu[0]:.0f} → {cpu[1]:.0f} ms ({load})")
        assert cpu[1] - cpu[0] < 1000


def _write_plain(path: Path, write: Callable) -> Entry:
    write_atomically(path, write)
    return Entry(0, "")


def test_a_pack_of_64_toy_runs_saves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_callback, "LARGEST_SHARE", float("inf"))
    turns, save, count = Turns(monkeypatch), RunFiles._save, iter(range(100))
    monkeypatch.setattr(
        RunFiles, "_save", lambda self, module: turns.take(next(count) % 2 == 0, lambda: save(self, module))
    )
    configs = [make_config(seed, max_steps=200, checkpoint_minutes=EVERY_CHUNK) for seed in range(64)]
    fit(TinyPack(configs), [RunFiles([RunFolder(tmp_path / str(i)) for i in range(64)])])
    turns.medians("64 toy runs save")


def test_a_checkpoint_of_200_megabytes_is_saved_and_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {f"w{i}": torch.randn(1000, 1000) for i in range(50)}
    directory, saves, loads = tmp_path / "run" / "checkpoints", Turns(monkeypatch), Turns(monkeypatch)
    for step in range(20):
        saves.take(step % 2 == 0, lambda step=step: checkpoints.save_checkpoint(directory, step, state, {}))
        for listed in (True, False) if step % 2 == 0 else ():
            loads.take(listed, lambda step=step: checkpoints.load_checkpoint(directory, step))
    saves.medians("200 MB save")
    loads.medians("200 MB load")
