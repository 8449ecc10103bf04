"""The quick composer gives what Hydra's own composition gives."""

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from superdyn.conf_path import conf_path
from superdyn.hydra_app import register_with_hydra
from superdyn.sweeps.composer import Composer
from superdyn.sweeps.references import References

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
    ["experiment=universality", "tier=mini", "data.n_features=32", "data.data_exponent=1.7", "seed=4"],
    ["experiment=universality", "tier=mini", "data.n_features=48", "data.data_exponent=1.9", "seed=5"],
    ["experiment=universality", "tier=full", "data.n_features=48", "data.data_exponent=1.9", "seed=5"],
    ["model.width='${half:${data.n_features}}'", "data.n_features=40", "name=${model.name}"],
    ["model.width='${half:${data.n_features}}'", "data.n_features=44", "name=${model.name}"],
    ["model.width=6", "data.n_features=44", "name=c"],
    ["name=${.loss}", "loss=sampled"],
    ["name=${.loss}", "loss=population"],
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
        assert composer(job) == OmegaConf.to_container(load(job), resolve=True), job


def test_jobs_that_set_the_same_keys_are_composed_once(load):
    calls = []
    composer = Composer(lambda job: calls.append(job) or load(job), is_group=GROUPS.__contains__)
    seeds = [composer(["model=elhage", f"seed={seed}"])["seed"] for seed in range(20)]
    assert seeds == list(range(20))
    assert len(calls) == 1


def test_jobs_share_no_section_that_one_of_them_sets(load):
    composer = Composer(load, is_group=GROUPS.__contains__)
    one, two = (composer([f"optimizer.lr={lr}", f"optimizer.betas=[{lr},0.5]"]) for lr in (0.25, 0.75))
    assert (one["optimizer"]["lr"], two["optimizer"]["lr"]) == (0.25, 0.75)
    assert (one["optimizer"]["betas"], two["optimizer"]["betas"]) == ([0.25, 0.5], [0.75, 0.5])


@pytest.mark.parametrize(
    ("text", "free"),
    [("${data.n_features}", True), ("${data}", False), ("${.n_features}", False), ("${oc.select:data.seed}", False),
     ("${half:${data.n_features}}", True), ("${by_tier:1,2,3}", True), ("${${name}.x}", False), ("${data.lr}", False)],
)  # fmt: skip
def test_a_key_is_free_only_where_the_text_settles_that_none_refers_to_it(text, free):
    config = OmegaConf.create({"a": [{"b": text}], "data": {"n_features": 3, "lr": 1}, "tier": "smoke"})
    references = References.of(config)
    assert references.free({"data.lr": 2, "tier": "${tier}"}) == []
    assert references.free({"data.lr": 2, "data": 3, "data.unknown": 2}) == []
    assert references.free({"data.lr": 2}) == (["data.lr"] if free else [])


def test_what_by_tier_reads_is_not_free():
    assert not References.of(OmegaConf.create({"a": "${by_tier:1,2,3}", "tier": "smoke"})).free({"tier": "mini"})
