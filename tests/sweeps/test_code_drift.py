"""A launch over runs that other code made keeps them, goes on with those that were begun, and says both."""

import shutil

import pytest
from older_schema import edit, trained_files

from superdyn.cli import main
from superdyn.runs.sweep_folder import run_folders

OTHER = {"commit": "1a2b3c4d5e", "dirty": False, "diff": None}


def test_done_runs_of_other_code_are_kept_and_named(sweep, capsys):
    first = sweep("seed=0,1,2")
    for run in run_folders(first.sweep_dir)[:2]:
        edit(run.path / "environment.json", git=OTHER)
    before = trained_files(first.sweep_dir)
    with pytest.warns(
        UserWarning, match=r"^2 of 3 done runs were made by other code \(superdyn 0\.1\.0 at 1a2b3c4, now"
    ):
        again = sweep("seed=0,1,2")
    assert (again.done, again.skipped) == (3, 3)
    assert trained_files(first.sweep_dir) == before
    assert main(["status", str(first.sweep_dir)]) == 0
    assert capsys.readouterr().out.count("superdyn 0.1.0 at 1a2b3c4") == 3  # two rows and the line below


def test_a_run_that_other_code_began_goes_on_and_remembers_it(sweep):
    long = ["seed=0", "trainer.max_steps=200", "trainer.checkpoint_minutes=1e-9"]
    first = sweep(*long)
    (run,) = run_folders(first.sweep_dir)
    edit(run.path / "environment.json", git=OTHER)
    edit(run.path / "status.json", state="interrupted")
    (run.checkpoints / "step-0000000200.pt").unlink()
    with pytest.warns(UserWarning, match=r"^1 unfinished run began under other code .* will resume under this$"):
        again = sweep(*long)
    assert (again.done, again.skipped) == (1, 0)
    assert [part["git"] for part in (run.environment() or {})["earlier"]] == [OTHER]


def test_a_run_that_starts_over_is_all_of_this_code(sweep):
    first = sweep("seed=0")
    (run,) = run_folders(first.sweep_dir)
    edit(run.path / "environment.json", git=OTHER)
    edit(run.path / "status.json", state="interrupted")
    shutil.rmtree(run.checkpoints)
    with pytest.warns(UserWarning, match="began under other code"):
        sweep("seed=0")
    assert "earlier" not in (run.environment() or {})
