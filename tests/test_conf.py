"""Every file in conf/ composes and trains two steps, through the command line that users have."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from superdyn.conf_path import conf_path
from superdyn.hydra_app import train
from superdyn.reproduce import PAPER, claim_names
from superdyn.sweeps.resolvers import TIERS

TOKENS = ["model=language_model", "data.tokens.eval_tokens=512"]
CHOICES = sorted(
    f"{path.parent.name}={path.stem}"
    for path in conf_path().glob("*/*.yaml")
    if path.parent.name != "experiment" and path.stem not in ("rule", "student")
)
NEEDS = {
    **dict.fromkeys(["data=tokens", "data=zipf_tokens", "data=bigram_tokens", "data=hierarchy_tokens"], TOKENS),
    "optimizer=adamw_dial": TOKENS,
    "trainer=fsdp": TOKENS,
    "model=language_model": TOKENS,
    "data=token_files": [*TOKENS, "data.tokens.files=[shard.bin]"],
}
TINY = ["trainer.max_steps=2", "data.n_features=16", "data.eval_size=64", "data.batch_size=8", "trainer.progress=false"]


def states(outcome):
    return outcome.done, len(outcome.failed)


@pytest.fixture
def shard(tmp_path):
    (np.arange(2000, dtype=np.uint16) % 16).tofile(tmp_path / "shard.bin")


@pytest.mark.filterwarnings("ignore:trainer.strategy=(ddp|fsdp). shares a run between devices:UserWarning")
@pytest.mark.usefixtures("shard")
@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_of_every_group_trains_two_steps(choice, tmp_path, monkeypatch):
    if choice == "trainer=gpu" and not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    monkeypatch.chdir(tmp_path)
    if choice == "launcher=ray":
        pytest.skip("starts a ray; tests/sweeps/test_ray.py does")
    logger = [] if choice.startswith("logger=") else ["logger=none"]
    cluster = ["launcher.cluster=local"] if choice == "launcher=slurm" else []
    needs = NEEDS.get(choice, [])
    tiny = [key for key in TINY if not needs or "eval_size" not in key]  # tokens are evaluated by eval_tokens
    assert states(train([choice, *needs, *tiny, *logger, *cluster])) == (1, 0)


@pytest.mark.parametrize("base", ["model=student", "optimizer=rule"])
def test_the_files_that_hold_the_defaults_of_a_group_are_choices_too(base, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert states(train([base, "model.core_init_scale=0.1", *TINY, "logger=none"])) == (1, 0)


@pytest.mark.filterwarnings("ignore:data.batch_size=8. is not read with loss=population:UserWarning")
@pytest.mark.parametrize("experiment", claim_names())
def test_every_experiment_trains_its_grid_for_two_steps(experiment, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tokens = experiment not in PAPER
    tiny = [key for key in TINY if not (tokens and "eval_size" in key)]
    outcome = train(["-m", f"experiment={experiment}", *tiny, "logger=none"])
    assert outcome is not None
    assert states(outcome) == (outcome.total, 0)
    assert outcome.total >= 6
    assert outcome.experiments[experiment].claim is not None


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("experiment", claim_names())
def test_every_experiment_composes_in_every_tier(experiment, tier, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train([f"experiment={experiment}", f"tier={tier}", "--cfg", "job", "--resolve"])
    shown = capsys.readouterr().out
    assert f"tier: {tier}" in shown
    assert "${" not in shown


def test_an_experiment_file_says_its_claim_and_its_command():
    for path in (conf_path() / "experiment").glob("*.yaml"):
        header = path.read_text().split("defaults:")[0].split("name:")[0]
        assert "# Claim" in header, path
        assert f"superdyn reproduce {path.stem}" in header, path


def test_experiments_are_deltas_and_not_copies():
    assert max(len(path.read_text().splitlines()) for path in Path(conf_path()).rglob("*.yaml")) < 40
    assert os.path.exists(conf_path() / "config.yaml")
