"""Sweep folders: readable unique names, a manifest that grows, a status that dead processes do not fool."""

import io
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from superdyn.runs.folder import RunFolder
from superdyn.runs.status import STALE_AFTER_SECONDS, State, Status
from superdyn.runs.sweep_folder import (
    MAX_NAME_LENGTH,
    SweepPoint,
    add_points,
    read_points,
    run_folder_name,
    run_folders,
)
from superdyn.runs.sweep_status import status_table, sweep_status

SIGNATURE = "1a2b3c4d" + "0" * 56


def put(sweep: Path, name: str, state: State, error: str | None = None) -> RunFolder:
    folder = RunFolder(sweep / name)
    folder.write_config({"seed": 0})
    folder.write_status(Status(state, 5, 10, SIGNATURE, name, error))
    return folder


@pytest.mark.parametrize(
    ("swept", "name"),
    [
        ({"model.width": "256", "seed": "3"}, "width=256,seed=3-1a2b3c4d"),
        ({"model.name": "a", "optimizer.name": "b"}, "model.name=a,optimizer.name=b-1a2b3c4d"),
        ({"model": "elhage", "experiment": "my/grid"}, "model=elhage,experiment=my_grid-1a2b3c4d"),
        ({"optimizer.betas": "[0.9, 0.99]"}, "betas=_0.9,_0.99_-1a2b3c4d"),
        ({}, "run-1a2b3c4d"),
    ],
)
def test_a_run_is_named_by_what_was_swept(swept: dict[str, str], name: str) -> None:
    assert run_folder_name(swept, SIGNATURE) == name


def test_a_long_name_is_cut_and_stays_unique() -> None:
    swept = {f"model.options.key_{i}": "../né{}ß:*?" for i in range(40)}
    name, other = run_folder_name(swept, SIGNATURE), run_folder_name(swept, "f" * 64)
    assert len(name) <= MAX_NAME_LENGTH
    assert re.fullmatch(r"[A-Za-z0-9._=,+-]+", name)
    assert name != other


def test_a_bigger_grid_adds_its_points_to_the_list(tmp_path: Path) -> None:
    small = [SweepPoint(f"s{i}", f"folder-{i}", (f"seed={i}",)) for i in range(2)]
    big = [SweepPoint(f"s{i}", f"another-name-{i}", (f"seed={i}",)) for i in range(4)]
    add_points(tmp_path, small)
    add_points(tmp_path, big)
    merged = read_points(tmp_path)
    assert [p.folder for p in merged] == ["folder-0", "folder-1", "another-name-2", "another-name-3"]


def test_a_list_that_was_cut_short_is_made_anew_from_the_runs(tmp_path: Path) -> None:
    put(tmp_path, "seed=0", "done")
    add_points(tmp_path, [SweepPoint(SIGNATURE, "seed=0"), SweepPoint("never began", "seed=1")])
    path = tmp_path / "sweep.json"
    path.write_text(path.read_text()[:20])
    with pytest.warns(UserWarning, match=r"sweep.json cannot be read and is rebuilt"):
        assert read_points(tmp_path) == [SweepPoint(SIGNATURE, "seed=0")]


def test_a_run_folder_is_accepted_where_a_sweep_folder_is(tmp_path: Path) -> None:
    put(tmp_path, "b", "done")
    put(tmp_path, "a", "done")
    assert [f.name for f in run_folders(tmp_path)] == ["a", "b"]
    assert [row.name for row in sweep_status(tmp_path / "a")] == ["a"]
    with pytest.raises(ValueError, match="must be an existing"):
        run_folders(tmp_path / "nowhere")


def test_every_point_has_a_row_with_its_state(tmp_path: Path) -> None:
    for state in ("done", "failed", "interrupted", "running"):
        put(tmp_path, state, state, error="it broke" if state == "failed" else None)
    put(tmp_path, "unlisted", "done")
    names = ("missing", "done", "failed", "interrupted", "running")
    add_points(tmp_path, [SweepPoint(f"signature of {name}", name) for name in names])
    rows = {row.name: row for row in sweep_status(tmp_path)}
    assert {name: rows[name].state for name in names} == {name: name for name in names}
    assert rows["failed"].error == "it broke"
    assert rows["missing"].signature == "signature of missing"
    assert rows["unlisted"].state == "done"


def test_a_running_run_whose_process_is_gone_is_interrupted(tmp_path: Path) -> None:
    code = (
        "import sys; from superdyn.runs.folder import RunFolder; from superdyn.runs.status import Status\n"
        "folder = RunFolder(sys.argv[1]); folder.write_config({})\n"
        "folder.write_status(Status('running', 5, 10, 'ab', 'dead'))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "dead")], check=True)
    (row,) = sweep_status(tmp_path)
    assert (row.state, row.step) == ("interrupted", 5)


def test_a_silent_run_on_another_host_is_interrupted_after_ten_minutes() -> None:
    here = Status("running", 5, 10, "ab", "name", heartbeat=time.time(), pid=1, host="elsewhere")
    assert here.is_live()
    assert replace(here, heartbeat=here.heartbeat - STALE_AFTER_SECONDS - 1).is_stale()


def test_one_damaged_status_does_not_hide_the_other_runs(tmp_path: Path) -> None:
    put(tmp_path, "a", "done")
    (put(tmp_path, "b", "done").path / "status.json").write_text('{"state": "do')
    a, b = sweep_status(tmp_path)
    assert (a.state, b.state) == ("done", "failed")
    assert "status.json" in (b.error or "")


def test_the_table_counts_states_and_shows_errors_literally(tmp_path: Path) -> None:
    put(tmp_path, "a", "done")
    put(tmp_path, "b", "failed", error="bad shape [2, 3]")
    console = Console(file=io.StringIO(), width=120)
    console.print(status_table(tmp_path))
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    assert "2 runs: 1 done, 1 failed" in text
    assert "bad shape [2, 3]" in text


def test_the_status_of_2000_runs_takes_less_than_5_seconds(tmp_path: Path) -> None:
    status = Status("done", 5, 10, SIGNATURE, "name")
    for i in range(2000):
        (tmp_path / f"seed={i}").mkdir()
        (tmp_path / f"seed={i}" / "config.yaml").touch()
        (tmp_path / f"seed={i}" / "status.json").write_text(
            str(status.stamped()).replace("'", '"').replace("None", "null")
        )
    begin = time.perf_counter()
    console = Console(file=io.StringIO(), width=120)
    console.print(status_table(tmp_path))
    assert time.perf_counter() - begin < 5
    assert "2000 done" in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_runs_are_listed_by_the_size_of_swept_numbers(tmp_path: Path) -> None:
    order = ["lr=1e-3,width=9", "lr=1e-3,width=10", "lr=0.01,width=9", "lr=.1,width=128", "lr=1,width=9", "rule=adam"]
    for number, swept in enumerate(order):
        put(tmp_path, f"{swept}-{(0xFFFFFFFF - number):08x}", "done")
    assert [folder.name[:-9] for folder in run_folders(tmp_path)] == order
