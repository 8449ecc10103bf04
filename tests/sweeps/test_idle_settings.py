"""Settings that change nothing are refused where a launch asks for them, else remarked on once, in one sentence."""

import pytest
from sweeps.conftest import TINY
from training.token_runs import TOKENS

from superdyn.analysis import load_curve, load_sweep
from superdyn.config import ConfigError
from superdyn.hydra_app import train
from superdyn.runs.folder import RunFolder
from superdyn.sweeps.idle_settings import warn_of_idle_settings
from superdyn.sweeps.points import Point

TWO_STEPS = {"trainer__max_steps": 2}


def remark_on(configs):
    points = [Point((), config, RunFolder("nowhere")) for config in configs]
    warn_of_idle_settings(points, points)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"trainer__matmul": "tf32"}, r"^trainer\.matmul=tf32: a CPU multiplies rounded operands no faster"),
        ({"trainer__strategy": "ddp"}, r"^trainer\.strategy=ddp: .* with trainer\.devices=1 it trains as .*single"),
        ({"optimizer__final_fraction": 0.1}, r"^optimizer\.final_fraction=0\.1: .* with optimizer\.schedule=constant"),
        ({"optimizer__betas": [0.5, 0.9]}, r"^optimizer\.betas=\[0\.5, 0\.9\]: .* optimizer=adam, adamw or muon"),
    ],
)
def test_a_setting_that_changes_nothing_here_is_said_once_and_not_when_all_is_done(
    changes, sentence, make_config, train_together, recwarn
):
    configs = [make_config(**TWO_STEPS, **changes, seed=seed) for seed in (0, 1)]
    with pytest.warns(UserWarning, match=sentence) as remarks:
        folders = train_together(configs)
    assert len(remarks) == 1
    assert [folder.status().state for folder in folders] == ["done", "done"]
    train_together(configs)
    assert not recwarn.list


def test_an_exponent_of_token_files_is_remarked_on(make_config):
    files = {**TOKENS, "data__tokens": {"source": "files", "files": ["a.bin"]}, "data__data_exponent": 2.0}
    with pytest.warns(UserWarning, match=r"^data\.data_exponent=2\.0: is not read with data\.tokens\.source=files"):
        remark_on([make_config(**files)])


def test_what_a_gpu_or_several_devices_will_use_is_not_remarked_on(make_config, recwarn):
    gpu = {"trainer__accelerator": "gpu", "trainer__matmul": "tf32"}
    remark_on([make_config(**gpu), make_config(trainer__devices=2, trainer__strategy="ddp")])
    assert not recwarn.list


KEYS = ["optimizer.name", "optimizer.momentum"]
EXACT = ["model=frozen_embedding", "model.width=8"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            ["optimizer.betas=[0.9,0.99],[0.8,0.99]"],
            r"^optimizer\.betas=\[0\.9, 0\.99\]: .* with optimizer\.name=sgd",
        ),
        (
            ["optimizer=adam", "optimizer.momentum=0.9"],
            r"^optimizer\.momentum=0\.9: .*sgd, normalized or muon",
        ),
        (["optimizer.decay_power=0.3,0.5"], r"^optimizer\.decay_power=0\.3: .*schedule=inverse_power\.$"),
        (["model=elhage", "model.core_init_scale=0.2"], r"^model\.core_init_scale=0\.2: .* model\.core=identity"),
        (["+model.options.rank=2"], r"^model\.options=\{'rank': 2\}: .* a student of your own"),
        (
            [*EXACT, "loss=population", "data.sampler=dense"],
            r"^data\.sampler=dense: .* with loss=population",
        ),
    ],
)
def test_what_no_run_of_a_launch_reads_is_refused_before_it_begins(overrides, sentence, sweep, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        sweep("name=refused", *overrides)
    assert not (tmp_path / "runs").exists()


def test_a_single_run_is_asked_too_and_one_from_a_file_is_trained(sweep, tmp_path):
    with pytest.raises(ConfigError, match=r"^optimizer\.eps=0\.1: is not read with optimizer\.name=sgd"):
        train([*TINY, "optimizer.eps=0.1"])
    (tmp_path / "conf" / "experiment").mkdir(parents=True)
    own = "# @package _global_\nname: own\noptimizer: {eps: 0.1}\n"
    (tmp_path / "conf" / "experiment" / "own.yaml").write_text(own)
    with pytest.warns(UserWarning, match=r"^optimizer\.eps=0\.1: is not read"):
        outcome = sweep(f"--config-dir={tmp_path / 'conf'}", "experiment=own")
    assert outcome.done == 1


def test_a_sweep_over_choices_trains_with_a_remark_on_runs_that_train_alike(sweep, recwarn):
    rules = ["optimizer=sgd,adam", "optimizer.lr=0.01"]
    assert sweep(*rules, "optimizer.momentum=0.9").done == 2
    assert not recwarn.list
    sentence = r"^optimizer\.momentum, not read with optimizer\.name=adam: 2 of 4 runs .* train alike"
    with pytest.warns(UserWarning, match=sentence) as remarks:
        outcome = sweep(*rules, "optimizer.momentum=0,0.9")
    assert len(remarks) == 1
    assert outcome.done == 4
    frame = load_sweep(outcome.sweep_dir)
    rows = zip(*(frame[column] for column in (*KEYS, "path")), strict=True)
    last = {(rule, momentum): load_curve(path)["loss"].iloc[-1] for rule, momentum, path in rows}
    assert last["adam", 0.0] == last["adam", 0.9]
    assert last["sgd", 0.0] != last["sgd", 0.9]


def test_a_batch_of_exact_runs_and_the_control_without_decay_are_no_mistake(sweep):
    with pytest.warns(UserWarning, match=r"^data\.batch_size=8: is not read with loss=population") as remarks:
        assert sweep(*EXACT, "loss=population").done == 1
    assert len(remarks) == 1
    with pytest.warns(UserWarning, match=r"^optimizer\.weight_decay_on=encoder: is not read .*weight_decay above 0"):
        assert sweep("name=control", "optimizer.weight_decay_on=encoder").done == 1


def test_a_sweep_over_the_evaluation_set_of_exact_runs_is_told_that_they_are_alike(sweep):
    sentence = r"^data\.eval_size, not read with model\.activation=linear: 2 of 2 runs"
    with pytest.warns(UserWarning, match=sentence):
        assert sweep(*EXACT, "data.eval_size=64,128").done == 2
