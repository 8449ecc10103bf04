"""`superdyn train start.run=…`: a sweep that branches off one run, launched again, retried, and over several ranks."""

import shutil

import numpy as np
import pytest
from sweeps.test_ranks import train_on_two_ranks
from training.test_packs import final_state
from training.token_runs import TOKENS

from superdyn.retry import retry
from superdyn.runs.folder import RunFolder
from superdyn.runs.start import with_start
from superdyn.runs.sweep_folder import run_folders
from superdyn.sweeps.points import Point
from superdyn.sweeps.sweep import run_sweep

ON_TWO_RANKS = {"trainer__devices": 2}


def losses(folder):
    return folder.curve()["loss"]


def signature(folder):
    return folder.status().signature


@pytest.fixture
def branches(sweep):
    """Launches four runs: two steps of one source, two seeds."""
    sweep("trainer.max_steps=4", "trainer.checkpoint_schedule=public", "hydra.sweep.dir=base")
    (source,) = run_folders("base")
    path = source.path.rename(source.path.with_name("source"))
    return lambda run=path, **_: sweep(f"start.run={run}", "start.step=2,4", "seed=0,1", "hydra.sweep.dir=branches")


def test_a_sweep_that_starts_from_a_run_is_trained_once_wherever_the_run_lies(branches, tmp_path):
    outcome = branches()
    assert (outcome.done, outcome.skipped, outcome.total) == (4, 0, 4)
    names = sorted(folder.name.rpartition("-")[0] for folder in run_folders("branches"))
    assert names == ["step=2,seed=0", "step=2,seed=1", "step=4,seed=0", "step=4,seed=1"]
    shutil.move("base/source", "moved")
    outcome = branches(run="moved")
    assert (outcome.done, outcome.skipped, outcome.total) == (4, 4, 4)


def test_retry_starts_a_run_from_its_source_again(branches, tmp_path):
    branches()
    folder = RunFolder(next(path for path in (tmp_path / "branches").glob("step=2,seed=1-*")))
    before, loss = final_state(folder), losses(folder)
    for path in (*folder.checkpoints.glob("*"), folder.path / "status.json"):
        path.unlink()
    outcome = retry(tmp_path / "branches")
    assert outcome is not None
    assert (outcome.done, outcome.skipped) == (4, 3)
    np.testing.assert_array_equal(losses(folder), loss)
    assert all((final_state(folder)[name] == value).all() for name, value in before.items())


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_ranks_start_from_a_run_of_one_process_and_one_process_from_a_run_of_ranks(strategy, make_config, tmp_path):
    decoder = {"n_layers": 2, "context": 16, "init_scale": 0.2}
    double = {**TOKENS, "model__decoder": decoder, "trainer__precision": "64-true"}
    ranks, alone = {**ON_TWO_RANKS, "trainer__strategy": strategy}, tmp_path / "alone"
    source = RunFolder(alone / "source")
    run_sweep([Point((), make_config(**double), source)], alone)
    branch = {**double, "start__run": str(source.path), "seed": 1}
    two, code = train_on_two_ranks(tmp_path / "ranks", {"branch": with_start(make_config(**branch, **ranks))})
    assert code == 0
    one = RunFolder(alone / "branch")
    back = RunFolder(alone / "back")
    run_sweep([Point((), with_start(make_config(**branch)), one)], alone)
    further = {**branch, "start__run": str(two["branch"].path)}
    run_sweep([Point((), with_start(make_config(**further)), back)], alone)
    np.testing.assert_allclose(losses(two["branch"]), losses(one), rtol=1e-9)
    np.testing.assert_allclose(losses(back)[0], losses(two["branch"])[-1], rtol=1e-9)
    assert signature(two["branch"]) == signature(one)
