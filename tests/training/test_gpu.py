"""On a GPU: a run agrees with the CPU's to rounding, and packed agrees with solo. Skipped where there is none."""

import numpy as np
import pytest
import torch

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")]


def test_a_run_on_the_gpu_agrees_with_the_cpu(make_config, train_together):
    losses = []
    for accelerator in ("cpu", "gpu"):
        config = make_config(trainer__accelerator=accelerator, trainer__precision="64-true")
        (folder,) = train_together([config], accelerator)
        losses.append(folder.curve()["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-8)


def test_packed_agrees_with_solo_on_the_gpu(make_config, train_together):
    configs = [make_config(seed=s, trainer__accelerator="gpu") for s in range(3)]
    packed = train_together(configs, "packed")
    (solo,) = train_together(configs[1:2], "solo")
    np.testing.assert_allclose(packed[1].curve()["loss"], solo.curve()["loss"], rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_replays_of_the_graph_train_every_step_on_its_own_data(optimizer, make_config, train_together):
    """A captured step that reused its batch, or its random state, would part from the CPU at once."""
    changes = {"data__batch_size": 64, "optimizer__name": optimizer, "trainer__precision": "64-true",
               "trainer__max_steps": 200, "trainer__chunk_steps": 16}  # fmt: skip
    curves = [
        train_together([make_config(trainer__accelerator=accelerator, **changes)], accelerator)[0].curve()["loss"]
        for accelerator in ("cpu", "gpu")
    ]
    np.testing.assert_allclose(*curves, rtol=1e-6)


def test_deterministic_mode_gives_the_same_bits_from_run_to_run(make_config, train_together):
    changes = {"data__batch_size": 64, "trainer__accelerator": "gpu", "trainer__deterministic": True}
    one, other = (train_together([make_config(**changes)], name)[0] for name in ("one", "other"))
    np.testing.assert_array_equal(one.spectrum()[1], other.spectrum()[1])


def test_a_hundred_thousand_features_train_on_one_gpu(make_config, train_together):
    config = make_config(
        data__n_features=100_000, model__width=1024, data__data_exponent=1.2, data__batch_size=256,
        data__eval_size=256, optimizer__lr=0.1, trainer__accelerator="gpu", trainer__max_steps=20,
    )  # fmt: skip
    (folder,) = train_together([config])
    loss = folder.curve()["loss"]
    assert folder.status().state == "done"
    assert loss[-1] < loss[0]
