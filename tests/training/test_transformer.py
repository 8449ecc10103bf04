"""Transformers train as packs with the bits of lone runs, resume to the bit, and learn what they can learn."""

import pytest
import torch
from small_transformer import TRANSFORMER
from training.test_graph import Uncaptured, parameters
from training.test_packs import assert_same_run

from superdyn.features.datamodule import FeatureDataModule
from superdyn.features.device_draws import DeviceDraws
from superdyn.features.moments import data_moments
from superdyn.features.probabilities import importances
from superdyn.features.sequence_evaluation import sequence_evaluation_set
from superdyn.training import engine as engine_module
from superdyn.training.engine import Engine
from superdyn.training.threads import cpu_threads

RULES = {
    "sgd": {"optimizer__lr": 0.02, "optimizer__momentum": 0.9},
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


@pytest.mark.parametrize(
    ("rule", "shape"),
    [
        *(pytest.param(rule, {"data__lag": 1}, id=f"{rule}, aligned") for rule in RULES),
        pytest.param("sgd", ODD, id="sgd, odd"),
        *(pytest.param(rule, ODD, id=f"{rule}, odd", marks=pytest.mark.slow) for rule in ("adamw", "muon")),
    ],
)
def test_packed_equals_solo_bit_for_bit(rule, shape, make_config, train_together):
    configs = [make_config(**{**TRANSFORMER, **shape, **RULES[rule], **member}) for member in MEMBERS]
    packed = train_together(configs, "packed")
    for config, folder in zip(configs, packed, strict=True):
        (solo,) = train_together([config], f"solo-{config.seed}")
        assert solo.status().state == "done"
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


def test_the_vector_itself_is_learned_and_an_earlier_one_only_with_attention(make_config, train_together):
    easy = {
        **TRANSFORMER, "data__n_features": 16, "model__activation": "relu", "data__length": 4,
        "model__decoder__context": 4, "data__importance_exponent": 1.0, "data__batch_size": 64,
        "optimizer__name": "adamw", "optimizer__lr": 0.01, "trainer__max_steps": 200,
    }  # fmt: skip
    arms = [(0, 2), (1, 2), (1, 0)]
    configs = [make_config(**{**easy, "data__lag": lag, "model__decoder__n_layers": layers}) for lag, layers in arms]
    itself, attending, blind = (folder.curve()["loss"] for folder in train_together(configs))
    # Samples are independent, so that the best guess at an earlier one is its mean.
    data = configs[0].data
    variance = data_moments(data).variance
    guess = 0.5 * float((importances(data.n_features, data.importance_exponent) ** 2 * variance).sum())
    assert itself[-1] < itself[0] / 10
    assert attending[-1] < min(attending[0], guess) / 10
    assert blind.min() > 0.95 * guess  # 5 %: the evaluation set has 128 sequences


def test_without_layers_it_is_the_autoencoder_of_the_student_family(make_config):
    family = {"model__core": "identity", "model__core_init_scale": 0.0, "model__activation": "linear"}
    vectors = make_config(**family, data__batch_size=16 * 8)
    flat = make_config(**TRANSFORMER | {"model__decoder__n_layers": 0})
    batches = [FeatureDataModule([c], [0, 1]).stream.draws.batches(0, 1).step(0) for c in (vectors, flat)]
    student, transformer = Engine([vectors]), Engine([flat])
    assert torch.equal(batches[0].dense(), batches[1].dense())  # pyright: ignore[reportAttributeAccessIssue]
    expected = student.objective.gradients(student.student, batches[0])
    found = transformer.objective.gradients(transformer.student, batches[1])
    torch.testing.assert_close(found.loss, expected.loss)
    torch.testing.assert_close(found.by_name["encoder"], expected.by_name["encoder"])


def test_sequences_of_one_train_like_single_vectors_to_the_bit(make_config, train_together):
    one, other = (train_together([make_config(data__kind=kind)], kind)[0] for kind in ("features", "sequences"))
    assert_same_run(one, other)


@pytest.mark.parametrize(("student", "lag"), [("transformer", 0), ("transformer", 3), ("student family", 0)])
def test_the_recorded_loss_is_the_weighted_mean_over_measured_positions(student, lag, make_config):
    family = {"data__kind": "sequences", "data__length": 8, "data__eval_size": 128}
    changes = family if student == "student family" else TRANSFORMER
    configs = [make_config(**changes | {"data__lag": lag, "seed": seed}) for seed in range(2)]
    engine = Engine(configs)
    sets = [sequence_evaluation_set(config) for config in configs]
    x = torch.zeros(2, 128 * 8, 32)
    for r, drawn in enumerate(sets):
        x[r, drawn.points.rows, drawn.points.features] = torch.from_numpy(drawn.points.values).float()
    y, x = (rows.detach().view(2, 128, 8, 32) for rows in (engine.student(x), x))
    error = y[:, :, lag:] - engine.objective.importance[:, None, None] * x[:, :, : 8 - lag]
    weights = torch.stack([torch.from_numpy(drawn.weights) for drawn in sets])
    expected = 0.5 * (weights[..., None] * error.double().square()).sum(dim=(1, 2)) / sets[0].n_measured
    torch.testing.assert_close(engine.measure(0)[0], expected, rtol=1e-4, atol=0)


def test_sequences_drawn_on_the_device_train_like_the_hosts(make_config, monkeypatch):
    monkeypatch.setattr(engine_module, "CapturedStep", Uncaptured)
    double = {"trainer__precision": "64-true", "trainer__compile": False, "data__lag": 1, "optimizer__lr": 0.02}
    configs = [make_config(**TRANSFORMER | double, seed=seed) for seed in range(2)]
    plain, replayed = Engine(configs), Engine(configs)
    for engine in (plain, replayed):
        engine.prepare()
    plain.run(0, 6, FeatureDataModule(configs, [0, 6]).stream.draws.batches(0, 6))
    replayed._replay(0, 6, DeviceDraws(configs, torch.float64).points(0, 6))
    expected = parameters(plain)
    for name, tensor in parameters(replayed).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize(("ratio", "threads"), [(16.0, 2), (16.5, 1)])
def test_where_bits_depend_on_the_number_of_threads_a_pack_has_as_many_as_a_lone_run(ratio, threads, make_config):
    many = {"data__batch_size": 31, "model__decoder__mlp_ratio": ratio}
    configs = [make_config(**TRANSFORMER | many, seed=seed) for seed in range(32)]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with cpu_threads(configs):
            assert torch.get_num_threads() == threads
        with cpu_threads(configs[:1]):
            assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)
