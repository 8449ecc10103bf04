"""The manifest of a run folder is true at every moment, whoever writes the folder and whenever it is killed."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_pack import EVERY_CHUNK, TinyPack, fit, make_config

from superdyn.runs import files_callback
from superdyn.runs.checkpoints import checkpoint_steps, drop_later, load_checkpoint, save_checkpoint, write_checkpoint
from superdyn.runs.files_callback import RunFiles
from superdyn.runs.folder import RunFolder
from superdyn.runs.hashed_file import hash_file
from superdyn.runs.manifest import Manifest, damage, found_files
from superdyn.runs.status import Status
from superdyn.verify.verification import verification

pytestmark = pytest.mark.filterwarnings(
    # Lightning 2.6 asks torch about tree leaves in a way that torch 2.13 deprecates.
    "ignore:`isinstance.treespec, LeafSpec.`:FutureWarning"
)

CONFIG = make_config(max_steps=4)
SIGNATURE = CONFIG.signature()


def manifest(folder: RunFolder) -> Manifest:
    found = Manifest.read(folder.path)
    assert found is not None
    return found


def save(folder: RunFolder, *steps: int) -> None:
    for step in steps:
        state = {"w": torch.full((3,), float(step))}
        save_checkpoint(folder.checkpoints, step, state, {"signature": SIGNATURE}, scheduled=(0, 1))


def assert_true(folder: RunFolder) -> None:
    """Every entry is what lies on the disk."""
    for name, entry in manifest(folder).files.items():
        assert hash_file(folder.path / name) == entry, name


def test_a_finished_run_lists_every_file_but_its_status(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    fit(TinyPack([make_config()]), [RunFiles([run], lambda folder: folder.write_result({"alpha": 1.0}))])
    names = {"checkpoints/step-0000000100.pt", "config.yaml", "curve.parquet", "environment.json", "result.json"}
    assert set(manifest(run).files) >= names | {"spectrum.parquet"}
    assert set(manifest(run).files) == set(found_files(run.path))
    assert (manifest(run).complete, manifest(run).signature) == (True, make_config().signature())
    assert_true(run)


def test_a_run_that_goes_on_lists_its_checkpoints_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_callback, "LARGEST_SHARE", float("inf"))
    run, config = RunFolder(tmp_path / "run"), make_config(checkpoint_minutes=EVERY_CHUNK)
    with pytest.raises(RuntimeError, match="on fire"):
        fit(TinyPack([config], fail_at=55), [RunFiles([run])])
    assert manifest(run).complete
    run.prepare(config.to_mapping(), config.signature())
    steps = [f"checkpoints/step-{step:010d}.pt" for step in (40, 50)]
    assert (sorted(manifest(run).files), manifest(run).complete) == (steps, False)
    assert_true(run)


def test_a_checkpoint_is_hashed_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "step-0000000007.1-of-2.pt"
    entry = write_checkpoint(path, {"step": 7, "state": {"w": torch.arange(100_000)}, "meta": {}})
    assert entry == hash_file(path)
    assert entry.bytes == path.stat().st_size > 800_000


def test_deleted_checkpoints_leave_the_manifest(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    save(run, 0, 1, 2, 3, 4)
    assert sorted(manifest(run).files) == [f"checkpoints/step-{step:010d}.pt" for step in (0, 1, 3, 4)]
    drop_later(run.checkpoints, 1)
    assert sorted(manifest(run).files) == [f"checkpoints/step-{step:010d}.pt" for step in (0, 1)]
    assert checkpoint_steps(run.checkpoints) == [0, 1]


def test_the_next_process_lists_what_was_written_without_an_entry(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    save(run, 0)
    write_checkpoint(run.checkpoints / "step-0000000001.pt", {"step": 1, "state": {}, "meta": {}})
    run.prepare(CONFIG.to_mapping(), SIGNATURE)
    assert len(manifest(run).files) == 2
    assert_true(run)


def test_a_result_that_is_written_again_is_listed_again(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.prepare(CONFIG.to_mapping(), SIGNATURE)
    run.write_result({"alpha": 1.0})
    run.write_status(Status("done", 4, 4, SIGNATURE, run.name))
    before = manifest(run)
    run.write_result({"alpha": 2.0})
    assert manifest(run).complete
    assert manifest(run).files["result.json"] != before.files["result.json"]
    assert_true(run)


def test_a_run_of_an_older_schema_keeps_a_true_manifest(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    run.prepare(CONFIG.to_mapping(), "old")
    save_checkpoint(run.checkpoints, 4, {"w": torch.zeros(1)}, {"signature": "old"})
    run.write_status(Status("done", 4, 4, "old", run.name))
    run.readdress(CONFIG.to_mapping() | {"notes": "new"}, "new", "schema")
    assert (manifest(run).signature, manifest(run).earlier, manifest(run).complete) == ("new", ("old",), True)
    assert_true(run)


def test_an_altered_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    """A flipped bit of a tensor, which `torch.load` takes for a number like any other."""
    run = RunFolder(tmp_path)
    save(run, 1, 2)
    path = run.checkpoints / "step-0000000002.pt"
    content = bytearray(path.read_bytes())
    content[content.index(np.full(3, 2.0, np.float32).tobytes())] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["state"]["w"][0] != 2.0
    with pytest.warns(UserWarning, match=r"step-0000000002\.pt cannot be read, an older .* it is altered: its SHA-256"):
        assert load_checkpoint(run.checkpoints, 2) is None
    assert load_checkpoint(run.checkpoints, 1) is not None
    assert damage(run.path, "checkpoints/step-0000000001.pt") is None


def test_a_damaged_manifest_is_made_anew(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    save(run, 0, 1)
    os.truncate(run.path / "manifest.json", 40)
    with pytest.warns(UserWarning, match=r"manifest.json cannot be read, .*; it is rebuilt"):
        save(run, 2)
    assert len(manifest(run).files) == 3
    assert_true(run)


@pytest.mark.parametrize("name", ["../other/curve.parquet", "/etc/hostname"])
def test_a_manifest_names_files_of_its_own_folder_only(tmp_path: Path, name: str) -> None:
    content = {
        "format": 1,
        "signature": "ab",
        "earlier": [],
        "complete": True,
        "files": {name: {"bytes": 1, "sha256": ""}},
    }
    (tmp_path / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="must be the name of a file in the run folder"):
        Manifest.read(tmp_path)


class Killed(BaseException):
    """The process ends here."""


def live(folder: RunFolder) -> None:
    """A short life of a run, from what it finds to its end."""
    steps = checkpoint_steps(folder.checkpoints)
    done = steps[-1] if steps else -1
    drop_later(folder.checkpoints, done)
    folder.write_status(Status("running", max(done, 0), 4, SIGNATURE, folder.name))
    folder.prepare(CONFIG.to_mapping(), SIGNATURE)
    for step in range(done + 1, 5):
        rows = np.array(sorted({0, 1, 2, 3, 4}))[: step + 1]
        folder.write_curve({"step": rows, "lr_time": rows, "loss": 1.0 / (1 + rows)})
        folder.write_spectrum(rows, np.ones((len(rows), 2)))
        save(folder, step)
        folder.write_status(Status("running", step, 4, SIGNATURE, folder.name))
    folder.write_result({"alpha": 1.0})
    folder.write_status(Status("done", 4, 4, SIGNATURE, folder.name))


def test_killed_after_any_write_or_deletion_no_entry_is_wrong_and_the_next_process_mends_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, unlink = os.replace, Path.unlink
    left = 0

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise Killed

    def replacing(source: Path, target: Path) -> None:
        count()
        replace(source, target)

    def unlinking(path: Path, missing_ok: bool = False) -> None:
        if path.suffix == ".pt" and not path.name.startswith("."):
            count()
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "fsync", lambda file: None)  # what a process wrote survives its end
    monkeypatch.setattr(os, "replace", replacing)
    monkeypatch.setattr(Path, "unlink", unlinking)
    notes, moment = 0, 0
    while True:
        folder, left = RunFolder(tmp_path / f"{moment:03d}"), moment
        try:
            live(folder)
            break
        except Killed:
            left = 10**6
        if folder.exists():
            work = verification(folder.path)
            notes += len(list(work.run()))
            assert work.problems == [], moment
        live(folder)
        work = verification(folder.path)
        assert list(work.run()) == [], moment
        assert manifest(folder).complete
        moment += 1
    assert moment > 30  # as many writes and deletions
    assert notes
