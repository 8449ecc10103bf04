"""A member of a pack has the bits of a lone run, and does not notice what the others do."""

import numpy as np
import pytest
import torch

from superdyn.features.datamodule import FeatureDataModule
from superdyn.runs.checkpoints import checkpoint_steps, load_checkpoint
from superdyn.training.engine import Engine

OPTIMIZERS = ("sgd", "normalized", "adam", "adamw", "muon")
INITS = ("gaussian", "orthogonal", "orthogonal", "gaussian")
MEMBERS = [
    {"seed": 0},
    {"seed": 1, "data__data_exponent": 2.0},
    {"seed": 2, "data__importance_exponent": 0.0, "data__density": 0.7},
    {"seed": 3, "optimizer__lr": 0.02, "model__core_init_scale": 0.3},
    {"seed": 4, "optimizer__schedule": "wsd", "optimizer__warmup_fraction": 0.2, "optimizer__decay_type": "1-sqrt"},
]


def final_state(folder):
    checkpoint = load_checkpoint(folder.checkpoints, checkpoint_steps(folder.checkpoints)[-1])
    assert checkpoint is not None
    return checkpoint.state


def assert_same_run(one, other):
    for name, column in one.curve().items():
        np.testing.assert_array_equal(column, other.curve()[name], err_msg=name)
    np.testing.assert_array_equal(one.spectrum()[1], other.spectrum()[1])
    state = final_state(other)
    for name, tensor in final_state(one).items():
        assert torch.equal(tensor, state[name]), name


@pytest.mark.parametrize("n_features", [32, 29], ids=["aligned", "odd"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_packed_equals_solo_bit_for_bit(optimizer, n_features, make_config, train_together):
    shape = {"data__n_features": n_features, "model__width": n_features // 2, "optimizer__name": optimizer}
    configs = [make_config(**{**shape, "model__bias": True, **member}) for member in MEMBERS]
    packed = train_together(configs, "packed")
    for config, folder in zip(configs, packed, strict=True):
        (solo,) = train_together([config], f"solo-{config.seed}")
        assert_same_run(folder, solo)


@pytest.mark.parametrize("value_law", ["half_normal", "signed", "constant"])
def test_packed_equals_solo_for_every_value_law(value_law, make_config, train_together):
    configs = [make_config(seed=seed, data__value_law=value_law) for seed in range(3)]
    packed = train_together(configs, "packed")
    (solo,) = train_together(configs[2:], "solo")
    assert_same_run(packed[2], solo)


def test_packed_equals_solo_for_exact_gradients(make_config, train_together):
    exact = {"loss": "population", "model__activation": "linear", "model__train_encoder": False}
    configs = [make_config(seed=seed, data__data_exponent=1.2 + seed / 4, **exact) for seed in range(3)]
    packed = train_together(configs, "packed")
    (solo,) = train_together(configs[1:2], "solo")
    assert_same_run(packed[1], solo)


@pytest.mark.parametrize("activation", ["linear", "relu"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_members_with_different_switches_share_a_pack_and_keep_their_bits(
    optimizer, activation, make_config, train_together, stop_at
):
    shape = {
        "optimizer__name": optimizer, "optimizer__weight_decay": 0.01, "model__activation": activation,
        "model__tied": False, "optimizer__lr": 0.05,
    }  # fmt: skip
    switches = list(zip((True, False, True, False), (True, True, False, False), INITS, strict=True))
    configs = [
        make_config(seed=s, model__train_encoder=trained, model__bias=bias, model__encoder_init=init, **shape)
        for s, (trained, bias, init) in enumerate(switches)
    ]
    assert len({config.pack_key() for config in configs}) == 1
    stop_at(7)
    stopped = train_together(configs, "packed")
    assert {folder.status().state for folder in stopped} == {"interrupted"}
    stop_at.undo()
    packed = train_together(configs, "packed")
    for config, folder in zip(configs, packed, strict=True):
        (solo,) = train_together([config], f"solo-{config.seed}")
        assert_same_run(folder, solo)
        assert final_state(folder).keys() == final_state(solo).keys()


@pytest.mark.parametrize(
    "apart",
    [{"optimizer__name": "muon"}, {"optimizer__name": "normalized"}, {"loss": "population"}],
    ids=lambda changes: next(iter(changes.values())),
)
def test_switches_keep_runs_apart_where_a_rule_would_see_the_idle_parts(apart, make_config):
    keys = {make_config(model__activation="linear", model__bias=bias, **apart).pack_key() for bias in (True, False)}
    assert len(keys) == 2


def test_chunk_size_does_not_change_the_run(make_config, train_together):
    runs = [train_together([make_config(trainer__chunk_steps=k)], f"chunks-{k}")[0] for k in (1, 8)]
    assert_same_run(*runs)


def test_a_diverging_member_fails_with_its_step_and_the_others_keep_their_bits(make_config, train_together):
    linear = {"model__activation": "linear"}
    configs = [make_config(seed=s, optimizer__lr=lr, **linear) for s, lr in enumerate((0.1, 1e3, 0.1))]
    first, diverged, third = train_together(configs, "packed")
    status = diverged.status()
    assert status.state == "failed"
    assert status.error == f"diverged at step {status.step}: the loss is not finite"
    assert 0 < status.step < 20
    assert np.isfinite(diverged.curve()["loss"][0])
    for folder, config in ((first, configs[0]), (third, configs[2])):
        assert folder.status().state == "done"
        assert_same_run(folder, train_together([config], f"solo-{config.seed}")[0])


def test_a_member_in_float64_diverges_at_the_same_step_alone_and_beside_one_that_has_diverged(make_config):
    double = {"model__activation": "linear", "trainer__precision": "64-true"}
    configs = [make_config(seed=s, optimizer__lr=lr, **double) for s, lr in enumerate((1e6, 5.0), start=1)]

    def diverged_at(members):
        engine = Engine(members)
        engine.prepare()
        batches = FeatureDataModule(members, [0, 12]).stream.draws.batches(0, 12)
        for step in range(12):
            engine.run_step(step, batches.step(step))
        return engine.diverged_at.tolist()

    alone = [step for config in configs for step in diverged_at([config])]
    assert diverged_at(configs) == alone
    assert 0 < alone[0] < alone[1]


def test_a_diverged_member_stands_still_after_a_resume_too(make_config):
    engine = Engine([make_config()])
    engine.prepare()
    saved = {name: tensor.clone() for name, tensor in engine.member_state(0).items()}
    engine.load(0, saved | {"engine/diverged_at": torch.tensor(3)})
    engine.run(4, 2, FeatureDataModule(engine.configs, [0, 20], 4).stream.draws.batches(4, 6))
    for name, tensor in engine.member_state(0).items():
        assert name == "engine/diverged_at" or torch.equal(tensor, saved[name]), name


def test_a_diverged_member_keeps_its_last_finite_parameters(make_config):
    configs = [make_config(seed=s, optimizer__lr=lr, model__activation="linear") for s, lr in enumerate((1e12, 0.1))]
    engine = Engine(configs)
    engine.prepare()
    batches = FeatureDataModule(configs, [0, 12]).stream.draws.batches(0, 12)
    for step in range(6):
        engine.run_step(step, batches.step(step))
    diverged = int(engine.diverged_at[0])
    assert 0 <= diverged < 6
    assert engine.diverged_at[1] == -1
    frozen = {name: tensor.clone() for name, tensor in engine.student.state_dict().items()}
    for step in range(6, 12):
        engine.run_step(step, batches.step(step))
    for name, tensor in engine.student.state_dict().items():
        assert torch.equal(tensor[0], frozen[name][0])
        assert torch.isfinite(tensor[0]).all()
        assert not torch.equal(tensor[1], frozen[name][1])
