"""Transformers train as packs with the bits of lone runs, resume to the bit, and learn what they can learn."""

import pytest
from small_transformer import TRANSFORMER
from training.test_packs import assert_same_run

from superdyn.training.engine import Engine

RULES = {
    "sgd": {"optimizer__momentum": 0.9},
    "adamw": {"optimizer__name": "adamw", "optimizer__lr": 0.003, "optimizer__weight_decay": 0.1},
    "muon": {"optimizer__name": "muon", "optimizer__lr": 0.02, "optimizer__momentum": 0.95},
}
ODD = {
    "data__n_features": 29, "data__length": 5, "data__lag": 2, "model__width": 14, "model__tied": False,
    "model__decoder__head_rank": 9, "model__decoder__bias": True, "model__decoder__positions": "learned",
    "model__activation": "relu",
}  # fmt: skip
MEMBERS = [
    {"seed": 0},
    {"seed": 1, "data__data_exponent": 2.0, "model__decoder__init_scale": 0.1},
    {"seed": 2, "data__importance_exponent": 0.0, "data__density": 0.7, "optimizer__lr": 0.01},
]


@pytest.mark.parametrize("shape", [{"data__lag": 1}, ODD], ids=["aligned", "odd"])
@pytest.mark.parametrize("rule", RULES)
def test_packed_equals_solo_bit_for_bit(rule, shape, make_config, train_together):
    configs = [make_config(**{**TRANSFORMER, **shape, **RULES[rule], **member}) for member in MEMBERS]
    packed = train_together(configs, "packed")
    for config, folder in zip(configs, packed, strict=True):
        (solo,) = train_together([config], f"solo-{config.seed}")
        assert_same_run(folder, solo)


@pytest.mark.parametrize("rule", RULES)
def test_resumed_equals_uninterrupted_bit_for_bit(rule, make_config, train_together, stop_at):
    configs = [make_config(**{**TRANSFORMER, **RULES[rule], "data__lag": 1, "seed": seed}) for seed in range(2)]
    whole = train_together(configs, "whole")
    stop_at(7)
    assert {f.status().state for f in train_together(configs, "stopped")} == {"interrupted"}
    stop_at.undo()
    for one, other in zip(whole, train_together(configs, "stopped"), strict=True):
        assert_same_run(one, other)


def fall(folder):
    loss = folder.curve()["loss"]
    return loss.iloc[0] / loss.iloc[-1]


def test_the_vector_itself_is_learned_and_an_earlier_one_only_with_attention(make_config, train_together):
    easy = {
        **TRANSFORMER, "data__n_features": 16, "model__activation": "relu", "data__length": 4,
        "model__decoder__context": 4, "data__importance_exponent": 1.0, "data__batch_size": 64,
        "optimizer__name": "adamw", "optimizer__lr": 0.01, "trainer__max_steps": 300,
    }  # fmt: skip
    arms = {(0, 2): 10.0, (1, 2): 10.0, (1, 0): None}
    configs = [make_config(**{**easy, "data__lag": lag, "model__decoder__n_layers": layers}) for lag, layers in arms]
    itself, attending, blind = train_together(configs)
    print({k: fall(f) for k, f in zip(arms, (itself, attending, blind), strict=True)}, blind.curve()["loss"].min())
    assert fall(itself) > 10
    assert fall(attending) > 10
    assert blind.curve()["loss"].min() > 0.3


def test_without_layers_it_is_the_autoencoder_of_the_student_family(make_config):
    family = {"model__core": "identity", "model__core_init_scale": 0.0, "model__activation": "linear"}
    sequences = {"data__kind": "sequences", "data__length": 8}
    student = Engine([make_config(**family, **sequences, data__batch_size=16, data__eval_size=128)])
    transformer = Engine([make_config(**TRANSFORMER | {"model__decoder__n_layers": 0})])
    assert transformer.student.get_parameter("encoder").equal(student.student.get_parameter("encoder"))
    print(transformer.measure(0)[0], student.measure(0)[0])
