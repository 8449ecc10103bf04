"""The quick composer gives what Hydra's own composition gives."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from superdyn.conf_path import conf_path
from superdyn.hydra_app import register_with_hydra
from superdyn.sweeps.composer import Composer

GROUPS = {path.name for path in conf_path().iterdir() if path.is_dir()}

JOBS = [
    ["seed=1", "optimizer.lr=0.3"],
    ["seed=2"],  # has the groups of the job before it, and not its learning rate
    ["optimizer.lr=0.5", "seed=3"],
    ["model=no_superposition", "data.n_features=12"],
    ["model=no_superposition", "data.n_features=24", "optimizer=adam", "optimizer.lr=0.01"],
    ["experiment=universality", "tier=mini", "model.width=8"],
    ["experiment=universality", "tier=full", "model.width=${data.n_features}"],
    ["optimizer.betas=[0.5,0.9]", "logger.tags=[x,y]"],
    ["optimizer.betas=[0.1,0.2]", "logger.tags=[]"],
    ["+model.options.rank=3"],
    ["+model.options={rank: 2}"],
    ["+model.options={depth: 4}"],
    ["data.value_law='my.Law'", "name=a", "name=b"],
    ["optimizer=muon", "launcher.max_pack_size=null"],
]


@pytest.fixture
def load():
    register_with_hydra()
    with initialize_config_dir(str(conf_path()), version_base="1.3"):
        yield lambda job: compose("config", overrides=job)


def test_the_composer_agrees_with_hydra_on_every_job_of_a_sweep(load):
    composer = Composer(load, is_group=GROUPS.__contains__)
    for job in JOBS:
        ours, hydras = (OmegaConf.to_container(composed(job), resolve=True) for composed in (composer, load))
        assert ours == hydras, job


def test_jobs_that_set_the_same_keys_are_composed_once(load):
    calls = []
    composer = Composer(lambda job: calls.append(job) or load(job), is_group=GROUPS.__contains__)
    seeds = [composer(["model=elhage", f"seed={seed}"]).seed for seed in range(20)]
    assert seeds == list(range(20))
    assert len(calls) == 1
