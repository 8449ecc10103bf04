"""On a GPU: runs agree with the CPU's, compiled or not, and what only happens there. Skipped where there is none."""

import gc

import numpy as np
import pytest
import torch
from small_transformer import TRANSFORMER
from token_runs import GPT2, LLAMA, TOKENS

from superdyn.features.datamodule import Chunk, FeatureDataModule
from superdyn.training.module import SuperpositionModule

pytestmark = pytest.mark.gpu

EXACT = TOKENS | {"trainer__precision": "64-true"}
"""Float32's own rounding moves the last loss of this model by 6e-5."""


def curves(make_config, train_together, changes, **only_gpu):
    """Of the CPU and of the GPU."""
    on_gpu = {"trainer__accelerator": "gpu", **only_gpu}
    places = {"cpu": changes, "gpu": changes | on_gpu}
    return [train_together([make_config(**c)], name)[0].curve()["loss"] for name, c in places.items()]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    "data",
    [{"data__batch_size": 32}, {"data__batch_size": 64}, {"data__batch_size": 100}, {"data__sampler": "dense"},
     {"data__sampler": "dense", "data__n_features": 150}, {"data__clip": True, "data__density": 9.0}],
    ids=["in groups", "groups", "across groups", "by the host", "sparse by the host", "certain features"],
)  # fmt: skip
def test_a_run_agrees_with_the_cpu(data, compiled, make_config, train_together):
    changes = data | {"trainer__precision": "64-true"}
    found = curves(make_config, train_together, changes, trainer__compile=compiled)
    np.testing.assert_allclose(*found, rtol=1e-8)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_replays_of_the_graph_train_every_step_on_its_own_data(optimizer, make_config, train_together):
    """A captured step that reused its batch, or its random state, would part from the CPU at once."""
    changes = {"optimizer__name": optimizer, "trainer__precision": "64-true", "trainer__max_steps": 200,
               "trainer__chunk_steps": 16}  # fmt: skip
    np.testing.assert_allclose(*curves(make_config, train_together, changes), rtol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
def test_a_transformer_agrees_with_the_cpu(compiled, make_config, train_together):
    changes = TRANSFORMER | {"trainer__precision": "64-true"}
    np.testing.assert_allclose(*curves(make_config, train_together, changes, trainer__compile=compiled), rtol=1e-7)


@pytest.mark.parametrize(
    ("precision", "compiled", "tolerance"),
    [("64-true", False, 1e-7), ("64-true", True, 1e-7), ("bf16-mixed", False, 0.02), ("bf16-mixed", True, 0.02)],
)
def test_a_language_model_agrees_with_the_cpu(precision, compiled, tolerance, make_config, train_together):
    only_gpu = {"trainer__precision": precision, "trainer__compile": compiled}
    np.testing.assert_allclose(*curves(make_config, train_together, EXACT, **only_gpu), rtol=tolerance)


@pytest.mark.parametrize(("precision", "tolerance"), [("64-true", 1e-7), ("bf16-mixed", 0.02)])
def test_accumulated_microbatches_compiled_with_their_loss_agree_with_the_cpu(
    precision, tolerance, make_config, train_together
):
    changes = EXACT | {"model__decoder": GPT2, "trainer__accumulate": 2}
    found = curves(make_config, train_together, changes, trainer__precision=precision)
    np.testing.assert_allclose(*found, rtol=tolerance)


def test_a_compiled_pack_of_language_models_agrees_with_a_lone_one(make_config, train_together):
    changes = TOKENS | {"model__decoder": LLAMA, "trainer__accelerator": "gpu", "trainer__precision": "64-true"}
    configs = [make_config(seed=s, **changes) for s in range(2)]
    packed = train_together(configs, "packed")
    (solo,) = train_together(configs[1:], "solo")
    np.testing.assert_allclose(packed[1].curve()["loss"], solo.curve()["loss"], rtol=1e-7)


def test_packed_agrees_with_solo(make_config, train_together):
    changes = {"trainer__accelerator": "gpu", "trainer__compile": False}
    configs = [make_config(seed=s, **changes) for s in range(3)]
    packed = train_together(configs, "packed")
    (solo,) = train_together(configs[1:2], "solo")
    np.testing.assert_allclose(packed[1].curve()["loss"], solo.curve()["loss"], rtol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
def test_deterministic_mode_gives_the_same_bits_from_run_to_run(compiled, make_config, train_together):
    torch.mm(*torch.ones(2, 16, 16, device="cuda"))  # torch looks for its settings at the first product
    changes = {"trainer__accelerator": "gpu", "trainer__compile": compiled}
    configs = [make_config(trainer__deterministic=True, **changes)]
    one, other = (train_together(configs, name)[0] for name in ("one", "other"))
    assert one.status().state == other.status().state == "done"
    np.testing.assert_array_equal(one.spectrum()[1], other.spectrum()[1])


def test_a_diverging_member_fails_alone(make_config, train_together):
    changes = {"trainer__accelerator": "gpu", "trainer__compile": False}
    configs = [make_config(seed=s, optimizer__lr=lr, **changes) for s, lr in enumerate((0.1, 1e9, 0.1))]
    folders = train_together(configs)
    assert [folder.status().state for folder in folders] == ["done", "failed", "done"]


@pytest.mark.parametrize(
    ("changes", "compiled"),
    [({}, False), (TOKENS, False), (TOKENS, True)],
    ids=["features", "tokens", "compiled tokens"],
)
def test_nothing_waits_for_the_device_between_measurements(changes, compiled, make_config):
    config = make_config(trainer__accelerator="gpu", trainer__compile=compiled, trainer__max_steps=80, **changes)
    module = SuperpositionModule([config]).to("cuda")
    draws = FeatureDataModule([config], [0, 80]).stream.draws
    module.on_fit_start()
    module.train_chunk(Chunk(0, 8, draws))
    torch.cuda.set_sync_debug_mode("error")
    try:
        module.train_chunk(Chunk(8, 16, draws))
        module.train_chunk(Chunk(16, 80, draws))
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_pack_that_does_not_fit_is_trained_in_halves(make_config, train_together):
    changes = {
        "data__n_features": 4096,
        "data__batch_size": 2048,
        "trainer__max_steps": 2,
        "launcher__max_pack_size": 16,
    }
    changes |= {"trainer__accelerator": "gpu", "trainer__compile": False}
    configs = [make_config(seed=s, **changes) for s in range(16)]
    torch.cuda.set_per_process_memory_fraction(1.25 * 2**30 / torch.cuda.mem_get_info()[1])
    try:
        with pytest.warns(UserWarning, match="16 runs do not fit in memory and are retried in halves"):
            folders = train_together(configs)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert {folder.status().state for folder in folders} == {"done"}


def test_pack_after_pack_is_compiled_however_many_there_are(make_config, train_together):
    changes = {"trainer__accelerator": "gpu"}
    configs = [make_config(model__width=width, **changes) for width in (8, 16, 24)]
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        folders = train_together(configs)
    assert {folder.status().state for folder in folders} == {"done"}


def test_the_memory_of_a_pack_is_free_for_the_next(make_config, train_together):
    held = []
    for width in (256, 257):
        changes = {"data__n_features": 4096, "model__width": width, "trainer__compile": False}
        train_together([make_config(trainer__accelerator="gpu", **changes)], str(width))
        gc.collect()
        held.append(torch.cuda.memory_allocated())
    assert held[1] < held[0] + 2**22


def test_a_hundred_thousand_features_train_on_one_gpu(make_config, train_together):
    config = make_config(
        data__n_features=100_000, model__width=1024, data__data_exponent=1.2, data__batch_size=256,
        data__eval_size=256, optimizer__lr=0.1, trainer__accelerator="gpu", trainer__max_steps=20,
    )  # fmt: skip
    (folder,) = train_together([config])
    loss = folder.curve()["loss"]
    assert folder.status().state == "done"
    assert loss[-1] < loss[0]
