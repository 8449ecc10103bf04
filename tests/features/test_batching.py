"""The forms of a batch against the samples they stand for, and the guide table against binary search."""

import numpy as np
import pytest
import torch

from superdyn.features import batching
from superdyn.features.batching import DenseBatches, head_size, make_batches
from superdyn.features.generator import Stream
from superdyn.features.guide import GuideTable
from superdyn.features.sampler import Points, make_sampler


@pytest.mark.parametrize("density", [1.0, 40.0])
@pytest.mark.parametrize("n_features", [64, 128, 130, 300])
def test_every_form_is_the_drawn_batch(run_config, n_features, density):
    changes = {"n_features": n_features, "density": density, "data_exponent": 0.4, "clip": True}
    configs = [run_config(top={"seed": s}, **changes) for s in range(3)]
    data = configs[0].data
    samplers = [make_sampler(c.data, c.seed) for c in configs]
    batches = make_batches([s.step_points(Stream.TRAIN, 7, 4) for s in samplers], 4, data.batch_size, data, np.float32)
    assert len(batches) == 4
    expected = np.stack([s.draw(Stream.TRAIN, 7, 4) for s in samplers], axis=1)
    for t in range(4):
        np.testing.assert_array_equal(batches.step(t).dense().numpy(), expected[t])


def test_the_last_value_of_a_cell_counts_in_both_orders(run_config):
    points = Points(np.array([1, 0, 1, 1]), np.array([150, 3, 150, 3]), np.array([1.0, 2.0, 3.0, 4.0]))
    data = run_config(n_features=200, batch_size=2).data
    batch = make_batches([points], 1, 2, data, np.float64).step(0)
    assert batch.cells is not None
    assert batch.cells.values.tolist() == [2.0, 4.0, 3.0]
    assert batch.cells.rows.tolist() == [0, 1, 1]
    assert batch.cells.features.tolist() == [3, 150]
    assert batch.cells.feature_values.tolist() == [2.0, 4.0, 3.0]
    assert batch.cells.feature_rows.tolist() == [0, 1, 1]


def test_the_head_depends_on_the_shape_and_the_frequencies_of_the_run(run_config):
    assert head_size(run_config(n_features=128).data) == 128
    assert head_size(run_config(n_features=1024).data) == 0
    assert head_size(run_config(n_features=1024, density=60.0, data_exponent=0.3).data) == 0
    frequent = run_config(n_features=1024, density=200.0, data_exponent=1.0, clip=True).data
    assert head_size(frequent) % 16 == 0
    p = make_sampler(frequent, 0).probabilities
    assert p[head_size(frequent) - 1] >= 0.25


@pytest.mark.parametrize(
    ("changes", "head"),
    [
        ({"density": 512.0}, 512),  # every feature in every sample
        ({"density": 256.0}, 512),
        ({"density": 128.0}, 512),  # a quarter of the samples
        ({"density": 127.0}, 0),
        ({"density": 140.0, "data_exponent": 0.2}, 512),  # half of the features
        ({"density": 130.0, "data_exponent": 0.3}, 160),
    ],
)
def test_data_of_which_half_of_the_features_are_frequent_are_dense(changes, head, run_config):
    assert head_size(run_config(n_features=512, **{"data_exponent": 0.0} | changes, clip=True).data) == head


@pytest.mark.parametrize("sampler", ["dense", "sparse"])
def test_a_dense_batch_trains_as_one_with_a_sparse_tail(sampler, make_config, monkeypatch, train_together):
    data = {"n_features": 160, "data_exponent": 0.0, "density": 80.0, "sampler": sampler, "importance_exponent": 0.5,
            "batch_size": 32, "eval_size": 256}  # fmt: skip
    config = make_config(data=data, optimizer__lr=0.002, trainer__precision="64-true")
    (dense,) = train_together([config], "dense")
    for room in ("features.datamodule", "features.batching", "sweeps.packing"):
        monkeypatch.setattr(f"superdyn.{room}.head_size", lambda data: 144)
    (mixed,) = train_together([config], "mixed")
    np.testing.assert_allclose(dense.spectrum()[1], mixed.spectrum()[1], rtol=1e-6)  # spectra are kept as float32
    np.testing.assert_allclose(dense.curve()["loss"], mixed.curve()["loss"], rtol=1e-12)
    assert dense.curve()["loss"][-1] < 0.9 * dense.curve()["loss"][0]


def test_a_dense_step_overwrites_the_one_before(run_config):
    data = run_config(n_features=16).data
    batches = make_batches(
        [make_sampler(data, 0).step_points(Stream.TRAIN, 0, 2)], 2, data.batch_size, data, np.float32
    )
    assert isinstance(batches, DenseBatches)
    first = batches.step(0).dense()
    kept = first.clone()
    assert batches.step(1).dense().data_ptr() == first.data_ptr()
    assert not torch.equal(first, kept)
    assert torch.equal(batches.step(0).dense(), kept)


@pytest.mark.parametrize("exponent", [0.0, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("n", [1, 7, 1000])
def test_the_guide_table_answers_like_binary_search(exponent, n):
    cumulative = np.cumsum(np.arange(1.0, n + 1) ** -exponent)
    rng = np.random.default_rng(0)
    near = np.concatenate([np.nextafter(cumulative, d) for d in (-np.inf, np.inf)] + [cumulative])
    x = np.concatenate([rng.random(20_000) * cumulative[-1], near, [0.0]])
    x = x[x <= cumulative[-1]]
    np.testing.assert_array_equal(GuideTable(cumulative).find(x), np.searchsorted(cumulative, x, side="right"))


def test_large_keys_are_sorted_without_packing():
    keys = np.array([2**62, 5, 2**62, 0])
    assert batching._stable_order(keys).tolist() == [3, 1, 0, 2]
