"""Runs that start from a checkpoint of another: the state that they load, their data, their signature, and refusals."""

import shutil
from functools import partial

import numpy as np
import pytest
import torch
from training.test_packs import assert_same_run, final_state
from training.token_runs import TOKENS

from superdyn.analysis import run_result
from superdyn.config import ConfigError
from superdyn.features.datamodule import Chunk, Draws
from superdyn.features.device_draws import DevicePoints, DrawnAhead
from superdyn.runs.checkpoints import load_checkpoint
from superdyn.runs.manifest import Manifest
from superdyn.runs.start import with_start
from superdyn.sweeps.starting import check_starts
from superdyn.training import chunk_batches
from superdyn.training.chunk_batches import ChunkBatches

PUBLIC = {"trainer__checkpoint_schedule": "public"}
RULES = {
    "sgd": {"optimizer__momentum": 0.9},
    "adamw": {"optimizer__name": "adamw"},
    "muon": {"optimizer__name": "muon"},
    "exact": {"loss": "population", "model__activation": "linear", "model__train_encoder": False},
    "tokens": TOKENS,
}


@pytest.fixture
def source(make_config, train_together):
    """A run of 20 steps that has kept the steps 0, 1, 2, 4, 8, 16 and 20."""
    return train_together([make_config(**PUBLIC)], "source")[0]


@pytest.fixture
def start(make_config, source):
    """Builds a configuration that starts from the source, as a launch fills it in."""
    return lambda **changes: with_start(make_config(**{"start__run": str(source.path)} | changes))


@pytest.mark.parametrize("rule", RULES)
def test_a_decay_that_branches_off_is_the_end_of_the_run_that_decays_by_itself(rule, make_config, train_together):
    constant = RULES[rule] | {"seed": 3}
    decays = constant | {"optimizer__schedule": "wsd"}
    (stable,) = train_together([make_config(**constant, **PUBLIC, trainer__max_steps=20)], "stable")
    (whole,) = train_together([make_config(**decays, trainer__max_steps=20, optimizer__decay_fraction=0.2)], "whole")
    branch = {"trainer__max_steps": 4, "optimizer__decay_fraction": 1.0, "start__step": 16}
    config = with_start(make_config(**decays, **branch, start__run=str(stable.path)))
    (end,) = train_together([config], "branch")
    before, after = final_state(whole), final_state(end)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert end.curve()["loss"][-1] == whole.curve()["loss"][-1]
    assert end.curve()["step"][[0, -1]].tolist() == [0, 4]


def test_members_of_a_pack_start_from_runs_of_their_own_and_have_the_bits_of_lone_runs(
    make_config, train_together, stop_at
):
    sources = train_together([make_config(seed=seed, **PUBLIC) for seed in (0, 1)], "sources")
    runs = [None, *(str(folder.path) for folder in sources), str(sources[0].path)]
    shared = {"start__step": 8, "start__data_step": 0}
    configs = [with_start(make_config(seed=s, start__run=run, **shared)) for s, run in enumerate(runs) if run]
    assert len({config.pack_key() for config in configs}) == 1
    stop_at(7)
    assert {folder.status().state for folder in train_together(configs, "packed")} == {"interrupted"}
    stop_at.undo()
    shutil.rmtree(sources[1].path)  # a run that has begun goes on by itself
    packed = train_together(configs, "packed")
    for config, folder in list(zip(configs, packed, strict=True))[::2]:
        assert_same_run(folder, train_together([config], f"solo-{config.seed}")[0])


def test_the_first_measurement_is_that_of_the_source_at_the_step(source, start, train_together):
    folders = train_together([start(start__step=16), start(start__step=16, start__optimizer=False)])
    at = np.flatnonzero(source.curve()["step"] == 16)[0]
    for folder in folders:
        assert folder.curve()["loss"][0] == source.curve()["loss"][at]


@pytest.mark.parametrize("kept", [True, False])
def test_moments_go_on_only_with_the_optimizer(kept, make_config, train_together):
    adam = {"optimizer__name": "adam", "trainer__max_steps": 4}
    (source,) = train_together([make_config(**adam, **PUBLIC)], "source")
    changes = adam | PUBLIC | {"start__run": str(source.path), "start__optimizer": kept}
    (folder,) = train_together([with_start(make_config(**changes))], "run")
    first, last = load_checkpoint(folder.checkpoints, 0), load_checkpoint(source.checkpoints, 4)
    assert first is not None
    assert last is not None
    assert torch.equal(first.state["student/encoder"], last.state["student/encoder"])
    moments = first.state["optimizer/first_moment/encoder"]
    assert torch.equal(moments, last.state["optimizer/first_moment/encoder"]) is kept
    assert bool(moments.any()) is kept


def test_the_signature_has_the_source_and_the_step_and_not_the_place(source, start, tmp_path):
    shutil.copytree(source.path, tmp_path / "copy")
    assert start(start__run=str(tmp_path / "copy")).signature() == start().signature()
    assert start().start.step == 20
    different = [start(start__step=8), start(start__optimizer=False), start(start__data_step=0), start(start__run=None)]
    assert len({config.signature() for config in (start(), *different)}) == 5
    with pytest.raises(ConfigError, match=r"^start\.run=.*: holds the run with signature "):
        start(start__signature="0" * 8)
    assert start(start__signature=source.status().signature[:8]) == start()


def test_data_go_on_after_what_all_sources_have_drawn(source, start, make_config, train_together):
    assert start(start__step=16).start.data_step == 16
    assert start(start__step=16, data__batch_size=48).start.data_step == 11  # 16 * 32 samples, rounded up
    (branch,) = train_together([start(start__step=16, **PUBLIC)], "branch")
    assert start(start__run=str(branch.path), start__step=4).start.data_step == 20


def test_what_a_gpu_would_draw_begins_at_the_same_step(start, monkeypatch):
    config = start(start__step=8, data__batch_size=64, trainer__compile=False)
    batches = ChunkBatches([config])
    batches._draws_on_device = True
    on_host = partial(DrawnAhead, device=torch.device("cpu"))
    monkeypatch.setattr(chunk_batches, "DrawnAhead", lambda configs, dtype, device: on_host(configs, dtype))
    ((first, n_steps, points),) = batches.parts(Chunk(5, 7, Draws([config], slice(0, 64))), torch.device("cuda"))
    ((_, expected),) = on_host([config], torch.float32).parts(9, 11)  # 8 * 32 samples are four batches
    assert (first, n_steps) == (5, 2)
    assert isinstance(points, DevicePoints)
    assert torch.equal(points.places, expected.places)
    assert torch.equal(points.values, expected.values)


def test_a_folder_records_what_it_started_from(source, start, train_together):
    (folder,) = train_together([start(start__step=8)], "run")
    record = folder.environment()["start"]
    assert (record["run"], record["step"]) == (str(source.path), 8)
    assert record["signature"] == source.status().signature[:16]
    (name,) = record["files"]
    assert name == "checkpoints/step-0000000008.pt"
    originals, manifest = Manifest.read(source.path), Manifest.read(folder.path)
    assert originals is not None
    assert manifest is not None
    assert record["files"][name] == originals.files[name].sha256
    assert manifest.start == record


def test_no_theory_is_laid_over_a_run_that_starts_from_another(make_config, train_together):
    exact = {**RULES["exact"], "model__core_init_scale": 0.0}
    (source,) = train_together([make_config(**exact)], "source")
    (folder,) = train_together([with_start(make_config(**exact, start__run=str(source.path)))], "run")
    theory = [run_result(each.path, n_boot=10)["exact_label"] for each in (source, folder)]
    assert theory[0] is not None
    assert theory[1] is None


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"start__step": 3}, r"^start\.step=3: .* allowed are 0, 1, 2, 4, 8, 16, 20 "),
        ({"model__width": 8}, r"^model\.width=8: .* was trained with model\.width=16"),
        ({"data__n_features": 48}, r"^data\.n_features=48: .* was trained with data\.n_features=32"),
        ({"model__activation": "linear"}, r"^model\.activation=linear: .* was trained with model\.activation=relu"),
        ({"trainer__precision": "64-true"}, r"^trainer\.precision=64-true: "),
        ({"optimizer__name": "adam"}, r"^start\.optimizer=True: .* optimizer\.name=sgd, not adam; use"),
        ({"optimizer__momentum": 0.9}, r"^start\.optimizer=True: .* optimizer\.momentum=0\.0, not 0\.9; use"),
        ({"model__train_encoder": False}, r"^start\.optimizer=True: .* model\.train_encoder=True, not False; use"),
        ({"start__run": "nowhere"}, r"^start\.run='nowhere': is no folder"),
        ({"start__run": "."}, r"^start\.run='\.': holds no config\.yaml"),
        ({"start__run": None, "start__step": 4}, r"^start\.step=4: .* give start\.run"),
    ],
)
def test_what_would_not_load_is_refused_in_one_sentence(changes, sentence, start):
    with pytest.raises(ConfigError, match=sentence):
        check_starts([start(**changes)])


def test_a_damaged_checkpoint_is_refused(source, start):
    config, path = start(start__step=16), source.checkpoints / "step-0000000016.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ConfigError, match=r"^start\.step=16: the checkpoint in .* is damaged \(it is cut short"):
        check_starts([config])


def test_the_last_step_of_a_run_that_is_not_done_is_not_guessed(make_config, train_together, stop_at):
    stop_at(8)
    (source,) = train_together([make_config()], "source")
    with pytest.raises(ConfigError, match=r"^start\.step=null: .* is interrupted at step 8; give start\.step"):
        with_start(make_config(start__run=str(source.path)))
    assert with_start(make_config(start__run=str(source.path), start__step=8)).start.step == 8


@pytest.mark.gpu
def test_a_decay_branches_off_on_a_gpu_too(make_config, train_together):
    place = {"trainer__accelerator": "gpu", "trainer__precision": "64-true", "data__batch_size": 64}
    decays = place | {"optimizer__name": "adamw", "optimizer__schedule": "wsd"}
    whole, constant = (
        make_config(**decays | {"optimizer__decay_fraction": 0.2}, **PUBLIC),
        make_config(**decays | {"optimizer__schedule": "constant"}, **PUBLIC),
    )
    together = train_together([whole, constant], "together")  # in one pack
    branch = {"trainer__max_steps": 4, "optimizer__decay_fraction": 1.0, "start__step": 16}
    (end,) = train_together([with_start(make_config(**decays, **branch, start__run=str(together[1].path)))], "branch")
    assert len({whole.pack_key(), constant.pack_key()}) == 1
    np.testing.assert_allclose(end.curve()["loss"][-1], together[0].curve()["loss"][-1], rtol=1e-8)
    assert together[0].curve()["loss"][-1] != together[1].curve()["loss"][-1]
