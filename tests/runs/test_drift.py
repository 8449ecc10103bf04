"""Code that changed since a run was made is recorded exactly and reported; nothing is trained because of it."""

import hashlib
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from superdyn.runs.code_state import code_state, keep_diff
from superdyn.runs.drift import drift_of, environments, warn_of_drift
from superdyn.runs.environment import describe_environment
from superdyn.runs.folder import RunFolder
from superdyn.runs.status import State, Status
from superdyn.runs.sweep_folder import SweepPoint, add_points
from superdyn.runs.sweep_status import status_table

SIGNATURE = "1a2b3c4d" + "0" * 56


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=me", "-c", "user.email=me@example.org")
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def own_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A package in a repository of its own, allowed and on the path; a call says which code it is now."""
    repository = tmp_path / "repository"
    package = repository / "drifting"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("VALUE = 1\n")
    (repository / "README").write_text("not code\n")
    git(repository, "init", "-q")
    git(repository, "add", ".")
    git(repository, "commit", "-q", "-m", "first")
    monkeypatch.syspath_prepend(repository)
    monkeypatch.setenv("SUPERDYN_PACKAGES", "drifting")
    yield package
    code_state.cache_clear()


def state_now(name: str = "drifting"):
    code_state.cache_clear()  # as a new process would see it
    state = code_state(name)
    assert state is not None
    return state


def put(folder: Path, state: State, value_law: str = "uniform") -> RunFolder:
    run = RunFolder(folder)
    run.prepare({"data": {"value_law": value_law}}, SIGNATURE)
    run.write_status(Status(state, 5, 10, SIGNATURE, run.name))
    return run


def change(run: RunFolder, **entries) -> None:
    path = run.path / "environment.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def shown_status(folder: Path) -> str:
    console = Console(file=io.StringIO(), width=250)
    console.print(status_table(folder))
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def test_a_clean_package_is_its_commit_and_other_files_do_not_matter(own_package: Path) -> None:
    (own_package.parent / "README").write_text("changed\n")
    (own_package / "notes.txt").write_text("not code\n")
    state = state_now()
    assert (state.commit, state.diff, state.source) == (git(own_package, "rev-parse", "HEAD").strip(), None, None)
    assert "drifting" not in sys.modules


def test_the_kept_diff_has_the_recorded_digest_and_gives_the_code_back(own_package: Path, tmp_path: Path) -> None:
    (own_package / "__init__.py").write_text("VALUE = 2\n")
    (own_package / "new.py").write_text("def f():\n    return 'é'")
    (own_package / "empty.py").touch()
    state = state_now()
    keep_diff(state, tmp_path / "code")
    (kept,) = (tmp_path / "code").iterdir()
    digest = hashlib.sha256(kept.read_bytes()).hexdigest()
    assert (state.diff, kept.name) == (digest, f"{digest[:8]}.diff")
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "-q", str(own_package.parent), str(clone))
    git(clone, "apply", str(kept))
    for path in own_package.glob("*.py"):
        assert (clone / "drifting" / path.name).read_bytes() == path.read_bytes()


def test_a_users_git_settings_do_not_change_the_digest(own_package: Path) -> None:
    (own_package / "__init__.py").write_text("VALUE = 2\n")
    before = state_now()
    for setting in ("diff.noprefix", "diff.mnemonicPrefix", "color.ui"):
        git(own_package, "config", setting, "always" if setting == "color.ui" else "true")
    git(own_package, "config", "diff.context", "1")
    assert state_now() == before


def test_a_package_outside_git_is_known_by_its_source(own_package: Path) -> None:
    (own_package.parent / ".git").rename(own_package.parent / "no-git")
    before = state_now()
    (own_package / "__init__.py").write_text("VALUE = 2\n")
    assert before.commit is None
    assert before.source is not None
    assert before.source != state_now().source


def test_the_diff_is_kept_once_per_sweep_and_in_a_single_runs_own_folder(own_package: Path, tmp_path: Path) -> None:
    (own_package / "__init__.py").write_text("VALUE = 2\n")
    digest = state_now().diff or ""
    add_points(tmp_path / "sweep", [SweepPoint("s", "a")])
    for name in ("a", "b"):
        record = put(tmp_path / "sweep" / name, "done", "drifting.Law").environment() or {}
        assert record["packages"]["drifting"]["diff"] == digest
    put(tmp_path / "alone", "done", "drifting.Law")
    found = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob(f"{digest[:8]}.diff"))
    assert found == [Path(f"alone/code/{digest[:8]}.diff"), Path(f"sweep/code/{digest[:8]}.diff")]


@pytest.mark.parametrize("how", ["commit", "change", "new file"])
def test_a_run_of_a_users_package_drifts_when_the_package_does(own_package: Path, tmp_path: Path, how: str) -> None:
    run, ours = put(tmp_path / "theirs", "done", "drifting.Law"), put(tmp_path / "ours", "done")
    assert drift_of(environments([run, ours])) == {}
    (own_package / ("new.py" if how == "new file" else "__init__.py")).write_text("VALUE = 3\n")
    if how == "commit":
        git(own_package, "commit", "-q", "-a", "-m", "second")
    state_now()
    (drift,) = drift_of(environments([run, ours])).values()
    assert drift.then.startswith("drifting at ")
    assert ("with changes" in drift.now) == (how != "commit")


@pytest.mark.parametrize(
    ("entries", "then"),
    [
        ({"git": {"commit": "1a2b3c4d5e", "dirty": False, "diff": None}}, "superdyn 0.1.0 at 1a2b3c4,"),
        ({"git": {"commit": "1a2b3c4d5e", "dirty": True, "diff": "9f8e7d6c" * 8}}, "at 1a2b3c4 with changes 9f8e7d6c,"),
        ({"git": {"commit": "1a2b3c4d5e", "dirty": True}}, "superdyn 0.1.0 at 1a2b3c4 with changes,"),
        ({"versions": describe_environment({})["versions"] | {"superdyn": "0.0.9"}}, "superdyn 0.0.9"),
        ({"versions": describe_environment({})["versions"] | {"torch": "2.10.9"}}, "torch 2.10.9,"),
    ],
)
def test_drift_of_superdyn_or_torch_is_warned_of_in_one_line(tmp_path: Path, entries: dict, then: str) -> None:
    runs = [put(tmp_path / f"run-{i}", "done") for i in range(3)]
    change(runs[1], **entries)
    with pytest.warns(UserWarning, match="made by other code") as caught:
        warn_of_drift(runs, [])
    (text,) = (str(warning.message) for warning in caught)
    assert text.startswith("1 of 3 done runs was made by other code (")
    assert text.endswith("): they are kept; delete their folders to train them again")
    assert f"{then}" in text
    assert ", now " in text
    assert "\n" not in text


def test_the_same_code_is_no_drift_and_a_missing_record_is_none(tmp_path: Path) -> None:
    runs = [put(tmp_path / f"run-{i}", "done") for i in range(3)]
    (runs[0].path / "environment.json").unlink()
    (runs[1].path / "environment.json").write_text('{"cut sh')
    warn_of_drift(runs, runs)


def test_a_resumed_run_is_warned_of_and_keeps_the_record_of_its_first_code(tmp_path: Path) -> None:
    run = put(tmp_path / "run", "interrupted")
    change(run, git={"commit": "1a2b3c4d5e", "dirty": False, "diff": None})
    with pytest.warns(
        UserWarning, match=r"^1 unfinished run began under other code \(superdyn .* and will resume under"
    ):
        warn_of_drift([], [run])
    run.checkpoints.mkdir()
    (run.checkpoints / "step-0000000005.pt").touch()
    for _ in range(2):  # the second process runs the same code as the first
        run.prepare({}, SIGNATURE)
    environment = run.environment() or {}
    assert [part["git"]["commit"] for part in environment["earlier"]] == ["1a2b3c4d5e"]
    assert "1a2b3c4" in drift_of(environments([run]))["run"].then


def test_status_says_which_code_made_a_run(tmp_path: Path) -> None:
    runs = [put(tmp_path / f"run-{i}", "done") for i in range(3)]
    assert "made by" not in shown_status(tmp_path)
    change(runs[1], git={"commit": "1a2b3c4d5e", "dirty": False, "diff": None})
    text = shown_status(tmp_path)
    (row,) = (line for line in text.splitlines() if line.startswith("run-1"))
    assert "superdyn 0.1.0 at 1a2b3c4" in row
    assert "1 of 3 done runs was made by other code" in text
