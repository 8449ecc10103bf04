"""A key that a later version adds changes every signature and no run: old sweeps keep their folders and results."""

import time
from typing import Any

import pytest
import yaml
from older_schema import age, edit, signature_in, trained_files

from superdyn.cli import main
from superdyn.config import RunConfig
from superdyn.runs import adopt
from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_folder import read_points, run_folders

KEPT = "of an older schema adopted, with solver='steps' filled in"
SEEDS = "seed=0,1"


def losses(sweep_dir):
    runs: list[Any] = run_folders(sweep_dir)
    return {run.config()["seed"]: run.curve()["loss"].tolist() for run in runs}


@pytest.fixture
def old_sweep(sweep):
    """A finished sweep of two runs, described without `solver`."""
    outcome = sweep(SEEDS)
    return outcome.sweep_dir, age(outcome.sweep_dir, "solver")


def test_runs_of_an_older_schema_are_the_same_runs(old_sweep, sweep):
    folder, old = old_sweep
    before = trained_files(folder)
    with pytest.warns(UserWarning, match=f"^2 runs {KEPT}$"):
        again = sweep("seed=0,1,2")
    assert (again.done, again.skipped, again.total) == (3, 2, 3)
    assert {path: trained_files(folder)[path] for path in before} == before
    for run in run_folders(folder):
        assert signature_in(run) == RunConfig.from_mapping(run.config() or {}).signature()
        assert (run.environment() or {}).get("first_signature") == old.get(run.name)
    assert sorted(p.signature for p in read_points(folder)) == sorted(map(signature_in, run_folders(folder)))


def test_after_that_nothing_is_read_again_and_nothing_said(old_sweep, sweep, monkeypatch):
    with pytest.warns(UserWarning, match=KEPT):
        sweep(SEEDS)
    monkeypatch.setattr(adopt, "reread", None)
    assert sweep(SEEDS).skipped == 2
    assert sweep("seed=0,1,5").skipped == 2  # a point that the manifest does not know


def test_retry_knows_them_too(old_sweep, capsys):
    folder, _ = old_sweep
    edit(run_folders(folder)[0].path / "status.json", state="interrupted")
    with pytest.warns(UserWarning, match=KEPT):
        assert main(["retry", str(folder)]) == 0
    assert "2 done (1 before)" in capsys.readouterr().out


def test_an_unfinished_run_goes_on_in_its_folder(sweep):
    long = ["seed=0,1", "trainer.max_steps=200"]
    outcome = sweep(*long)
    whole = losses(outcome.sweep_dir)
    age(outcome.sweep_dir, "solver")
    for run in run_folders(outcome.sweep_dir):
        edit(run.path / "status.json", state="interrupted", step=0)
        for checkpoint in run.checkpoints.iterdir():
            checkpoint.unlink()
    with pytest.warns(UserWarning, match=KEPT):
        again = sweep(*long)
    assert (again.done, again.skipped) == (2, 0)
    assert losses(again.sweep_dir) == whole


@pytest.mark.filterwarnings("ignore::superdyn.sweeps.other_study.OtherStudyWarning")
@pytest.mark.filterwarnings("ignore:data.batch_size=8. is not read with loss=population:UserWarning")
def test_another_value_than_the_default_is_another_run(old_sweep, sweep):
    folder, old = old_sweep
    outcome = sweep(SEEDS, "loss=population", "model=no_superposition")
    assert (outcome.done, outcome.skipped) == (2, 0)
    assert {run.name: signature_in(run) for run in run_folders(folder) if run.name in old} == old


def test_a_run_whose_process_is_at_work_is_left_to_it(old_sweep, sweep, monkeypatch):
    folder, old = old_sweep
    busy = run_folders(folder)[0]
    edit(busy.path / "status.json", state="running", host="elsewhere", heartbeat=time.time())
    monkeypatch.setattr("superdyn.sweeps.sweep._WAIT_SECONDS", 0.0)
    monkeypatch.setattr("superdyn.sweeps.sweep.Launch.live", lambda self: [])  # do not wait for it
    with pytest.warns(UserWarning, match=f"^1 run {KEPT}"):
        outcome = sweep(SEEDS)
    assert (outcome.done, outcome.unfinished) == (1, (busy.name,))
    assert signature_in(busy) == old[busy.name]
    assert len(run_folders(folder)) == len(read_points(folder)) == 2


@pytest.mark.parametrize("stop_after", range(4))
def test_a_kill_while_a_run_is_readdressed_is_made_good(old_sweep, sweep, stop_after, monkeypatch):
    folder, old = old_sweep
    write, written = RunFolder._write_text, []

    def write_or_die(self, name, text):
        if len(written) == stop_after:
            raise KeyboardInterrupt
        written.append(name)
        write(self, name, text)

    with monkeypatch.context() as patch:
        patch.setattr(RunFolder, "_write_text", write_or_die)
        with pytest.raises(KeyboardInterrupt):
            sweep(SEEDS)
    with pytest.warns(UserWarning, match="older schema adopted"):
        assert sweep(SEEDS).skipped == 2
    assert {(run.environment() or {})["first_signature"] for run in run_folders(folder)} == set(old.values())


def test_a_configuration_edited_by_hand_is_not_taken_for_the_run(old_sweep):
    folder, old = old_sweep
    run = run_folders(folder)[0]
    edited = (run.path / "config.yaml").read_text().replace("seed: 0", "seed: 7").replace("seed: 1", "seed: 7")
    (run.path / "config.yaml").write_text(edited)
    with pytest.warns(UserWarning, match=f"^1 run {KEPT}"):
        main(["retry", str(folder)])
    assert signature_in(run) == old[run.name]


def test_a_plan_writes_nothing(old_sweep, sweep_plan):
    folder, _ = old_sweep
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert "2 points" in sweep_plan(SEEDS)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.fixture
def unreadable(sweep):
    """A sweep one of whose configurations has a key that no longer exists."""
    outcome = sweep(SEEDS)
    age(outcome.sweep_dir, "solver")
    run = run_folders(outcome.sweep_dir)[0]
    mapping = run.config() or {}
    mapping["model"]["curvature"] = 3
    (run.path / "config.yaml").write_text(yaml.safe_dump(mapping))
    return outcome.sweep_dir, run


REFUSAL = r"model\.curvature=3: unknown key"


def test_a_key_that_no_longer_exists_is_reported_and_the_run_left_alone(unreadable, sweep):
    folder, run = unreadable
    with pytest.warns(UserWarning) as caught:  # noqa: PT030
        outcome = sweep(SEEDS)
    texts = sorted(str(warning.message) for warning in caught)
    assert len(texts) == 2
    assert REFUSAL.replace("\\", "") in texts[0] + texts[1]
    assert (outcome.done, outcome.skipped) == (2, 1)  # it is trained anew, beside the old one
    assert len(run_folders(folder)) == 3
    assert (run.config() or {})["model"]["curvature"] == 3


def test_status_says_so(unreadable, capsys):
    assert main(["status", str(unreadable[0])]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        f"1 described by an older schema that this version cannot read, e.g. {unreadable[1].name}: model.curv" in shown
    )


def test_retry_leaves_it_out(unreadable, capsys):
    with pytest.warns(UserWarning, match=rf"^1 run has a configuration that .*{REFUSAL}|{KEPT}"):
        assert main(["retry", str(unreadable[0])]) == 0
    assert "1 done (1 before), 0 failed, 1 runs" in capsys.readouterr().out


def test_retry_of_that_run_alone_is_refused_in_a_sentence(unreadable, capsys):
    assert main(["retry", str(unreadable[1].path)]) == 2
    assert "model.curvature=3: unknown key" in capsys.readouterr().err


def test_a_single_run_is_recognised_in_its_folder(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    tiny = ["logger=none", "trainer.max_steps=2", "trainer.progress=false", "data.n_features=16", "data.eval_size=64"]
    assert main(["train", *tiny, "hydra.run.dir=one"]) == 0
    age(tmp_path / "one", "solver", manifest=False)
    before = trained_files(tmp_path)
    with pytest.warns(UserWarning, match=f"^1 run {KEPT}"):
        assert main(["train", *tiny, "hydra.run.dir=one"]) == 0
    assert "1 done (1 before)" in capsys.readouterr().out
    assert trained_files(tmp_path) == before
