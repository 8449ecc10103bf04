"""`superdyn verify`: every kind of damage has its line, and what is whole has none."""

import json
import os
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from superdyn.cli import main
from superdyn.features.tokens.write import ShardWriter
from superdyn.hydra_app import train
from superdyn.runs.checkpoints import write_checkpoint
from superdyn.runs.folder import RunFolder
from superdyn.runs.hashed_file import hash_file
from superdyn.runs.manifest import Manifest, enter, withdraw
from superdyn.runs.sweep_folder import run_folders
from superdyn.verify.verification import verification

OVERRIDES = [
    "logger=none", "trainer.progress=false", "trainer.max_steps=40", "trainer.checkpoint_schedule=public",
    "data.n_features=16", "data.eval_size=64", "data.batch_size=8", "seed=0,1",
]  # fmt: skip
NEWEST, OLDER = "checkpoints/step-0000000040.pt", "checkpoints/step-0000000008.pt"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained") / "sweep"
    assert train(["-m", *OVERRIDES, f"hydra.sweep.dir={folder}"])
    return folder


@pytest.fixture
def sweep(trained: Path, tmp_path: Path) -> Path:
    return shutil.copytree(trained, tmp_path / "sweep")


@pytest.fixture
def run(sweep: Path) -> RunFolder:
    return run_folders(sweep)[0]


def found(path: Path) -> list[tuple[str, str]]:
    return [(finding.file, finding.kind) for finding in verification(path).run()]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def flip_tensor(path: Path) -> None:
    """Flip a bit of the largest part of a checkpoint, which is a zip file."""
    with zipfile.ZipFile(path) as archive:
        part = max(archive.infolist(), key=lambda part: part.file_size)
    content = bytearray(path.read_bytes())
    name, extra = struct.unpack_from("<HH", content, part.header_offset + 26)
    content[part.header_offset + 30 + name + extra] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def relist(run: RunFolder, name: str) -> None:
    """Have the manifest vouch for whatever the file is now."""
    complete = withdraw(run.path, name)
    enter(run.path, {name: hash_file(run.path / name)})
    manifest = Manifest.read(run.path)
    assert manifest is not None
    Manifest(manifest.signature, manifest.files, complete).write(run.path)


def append(run: RunFolder) -> None:
    with (run.path / "result.json").open("a") as file:
        file.write(" ")


def edit_seed(run: RunFolder) -> None:
    path = run.path / "config.yaml"
    path.write_text(path.read_text().replace("seed: 0", "seed: 7"))


def shorten(run: RunFolder) -> None:
    curve: Any = run.curve()
    run.write_curve({name: column[:-2] for name, column in curve.items()})


def add_checkpoint(run: RunFolder) -> None:
    write_checkpoint(run.checkpoints / "step-0000000009.pt", {"step": 9, "state": {}, "meta": {}})


def swap_checkpoint(run: RunFolder) -> None:
    shutil.copyfile(run_folders(run.path.parent)[1].path / NEWEST, run.path / NEWEST)
    relist(run, NEWEST)


def rename_checkpoint(run: RunFolder) -> None:
    shutil.copyfile(run.path / OLDER, run.path / NEWEST)
    relist(run, NEWEST)


def replace_status(run: RunFolder) -> None:
    shutil.copyfile(run_folders(run.path.parent)[1].path / "status.json", run.path / "status.json")


DAMAGE: list[tuple[Callable[[RunFolder], object], str, str]] = [
    (lambda run: (run.path / "curve.parquet").unlink(), "curve.parquet", "missing"),
    (lambda run: (run.path / OLDER).unlink(), OLDER, "missing"),
    (lambda run: cut(run.path / NEWEST), NEWEST, "cut short"),
    (lambda run: cut(run.path / "spectrum.parquet"), "spectrum.parquet", "cut short"),
    (lambda run: flip(run.path / NEWEST), NEWEST, "altered"),
    (lambda run: flip(run.path / "spectrum.parquet"), "spectrum.parquet", "altered"),
    (lambda run: flip(run.path / "environment.json"), "environment.json", "altered"),
    (append, "result.json", "too long"),
    (edit_seed, "config.yaml", "altered"),
    (lambda run: cut(run.path / "manifest.json"), "manifest.json", "unreadable"),
    (lambda run: cut(run.path / "status.json"), "status.json", "unreadable"),
    (replace_status, "status.json", "another run"),
    (add_checkpoint, "checkpoints/step-0000000009.pt", "unknown"),
    (swap_checkpoint, NEWEST, "another run"),
    (rename_checkpoint, NEWEST, "another checkpoint"),
    (shorten, "curve.parquet", "too few rows"),
]


@pytest.mark.parametrize(("harm", "file", "kind"), DAMAGE, ids=[f"{kind} {file}" for _, file, kind in DAMAGE])
def test_every_damage_is_named_with_its_file(run: RunFolder, harm: Callable, file: str, kind: str, capsys) -> None:
    harm(run)
    assert main(["verify", str(run.path.parent)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{run.path / file}: {kind}: ")
    assert (f"{run.name}/{file}", kind) in found(run.path.parent)
    assert main(["verify", str(run_folders(run.path.parent)[1].path)]) == 0


def test_what_is_whole_has_a_summary_only(sweep: Path, capsys) -> None:
    assert main(["verify", str(sweep)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    n_files = sum(len(Manifest.read(run.path).files) for run in run_folders(sweep))  # pyright: ignore[reportOptionalMemberAccess]
    assert line.startswith(f"{sweep}: intact; 2 runs, ")
    assert f"{n_files + 1 + len(list(sweep.glob('code/*.diff')))} files, " in line


def test_a_run_folder_moved_elsewhere_is_whole(run: RunFolder, tmp_path: Path) -> None:
    assert found(shutil.copytree(run.path, tmp_path / "published")) == []


def test_json_has_the_counts_and_the_problems(run: RunFolder, capsys) -> None:
    cut(run.path / NEWEST)
    assert main(["verify", str(run.path), "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    size = (run.path / NEWEST).stat().st_size
    assert (said["whole"], said["runs"], said["without_manifest"], said["notes"]) == (False, 1, [], [])
    (problem,) = said["problems"]
    assert (problem["file"], problem["kind"]) == (NEWEST, "cut short")
    assert problem["text"].startswith(f"{size:,} bytes of ")


def test_an_edited_configuration_is_told_from_an_edited_note(run: RunFolder) -> None:
    edit_seed(run)
    assert found(run.path) == [("config.yaml", "altered"), ("config.yaml", "another configuration")]
    run.write_config(run.config() | {"seed": 0, "notes": "a note"})  # pyright: ignore[reportOptionalOperand]
    assert found(run.path) == []


class Intruder:
    """Pickled, it asks whoever unpickles it to make a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_a_checkpoint_that_holds_code_is_named_and_not_run(run: RunFolder, tmp_path: Path) -> None:
    torch.save({"step": 40, "state": Intruder(tmp_path / "mark"), "meta": {}}, run.path / NEWEST)
    relist(run, NEWEST)
    (finding,) = verification(run.path).run()
    assert (finding.file, finding.kind) == (NEWEST, "unreadable")
    assert "it names getattr" in finding.text
    assert not (tmp_path / "mark").exists()


def test_a_lost_run_folder_and_a_damaged_list_are_problems_of_the_sweep(sweep: Path, run: RunFolder) -> None:
    shutil.rmtree(run.path)
    assert found(sweep) == [(run.name, "missing")]
    cut(sweep / "sweep.json")
    assert found(sweep) == [("sweep.json", "unreadable")]


def test_a_folder_that_lies_in_the_place_of_another_is_found_out(sweep: Path, run: RunFolder) -> None:
    away = run.path.with_name("away")
    second = run_folders(run.path.parent)[1].path
    run.path.rename(away)
    second.rename(run.path)
    away.rename(second)
    assert sorted(found(sweep)) == sorted((folder.name, "another run") for folder in run_folders(sweep))


def test_changes_to_the_code_are_checked_by_their_name(sweep: Path) -> None:
    (sweep / "code").mkdir(exist_ok=True)
    (sweep / "code" / "01234567.diff").write_text("no such changes")
    assert found(sweep) == [("code/01234567.diff", "altered")]


def test_without_a_manifest_readability_is_checked_and_counted(sweep: Path, run: RunFolder, capsys) -> None:
    for folder in run_folders(sweep):
        (folder.path / "manifest.json").unlink()
    assert main(["verify", str(sweep)]) == 0
    assert "2 without a manifest, checked for readability only" in capsys.readouterr().out
    flip_tensor(run.path / NEWEST)
    cut(run.path / "spectrum.parquet")
    cut(run.path / "result.json")
    assert sorted(found(sweep)) == [
        (f"{run.name}/{name}", "unreadable") for name in (NEWEST, "result.json", "spectrum.parquet")
    ]


def test_token_shards_are_compared_with_the_hashes_of_their_own_manifest(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "tokens"
    writer = ShardWriter(folder, "megatron", 100, "none", shard_tokens=500)
    writer.add(np.arange(1200) % 100)
    writer.close()
    assert main(["verify", str(folder)]) == 0
    assert f"{folder}: intact; token shards, 6 files, " in capsys.readouterr().out
    flip(folder / "tokens_000000.bin")
    cut(folder / "tokens_000001.bin")
    (folder / "tokens_000002.idx").unlink()
    (folder / "other.bin").touch()
    shards = [("tokens_000000.bin", "altered"), ("tokens_000001.bin", "cut short"), ("tokens_000002.idx", "missing")]
    assert found(folder) == [*shards, ("other.bin", "unknown")]


@pytest.mark.parametrize("what", ["no such folder", "empty"])
def test_nothing_to_verify_is_wrong_input(tmp_path: Path, what: str, capsys) -> None:
    (tmp_path / "empty").mkdir()
    assert main(["verify", str(tmp_path / what)]) == 2
    assert "superdyn: path=" in capsys.readouterr().err
