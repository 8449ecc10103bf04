"""Pack sizes follow the memory of a member, which an estimate from shapes must not undercut."""

import resource

import pytest
from small_transformer import TRANSFORMER

from superdyn.runs.folder import RunFolder
from superdyn.sweeps import packing
from superdyn.sweeps.member_memory import member_bytes
from superdyn.sweeps.packing import make_packs, pack_size
from superdyn.sweeps.points import Point
from superdyn.training.module import SuperpositionModule


def test_the_pack_size_is_what_half_of_the_free_memory_holds(make_config, monkeypatch):
    config = make_config()
    monkeypatch.setattr(packing, "free_bytes", lambda _: 20 * member_bytes(config))
    assert pack_size(config) == 10
    assert pack_size(make_config(launcher__max_pack_size=3)) == 3
    monkeypatch.setattr(packing, "free_bytes", lambda _: 1)
    assert pack_size(config) == 1


def test_larger_members_are_estimated_larger(make_config):
    sizes = [
        member_bytes(make_config(data__n_features=n, model__width=n // 2, data__batch_size=s))
        for n, s in ((64, 32), (64, 4096), (1024, 4096))
    ]
    assert sizes == sorted(sizes)
    assert resource.getpagesize() < sizes[0]


@pytest.mark.parametrize(
    "changes", [{}, {"trainer__precision": "64-true"}, TRANSFORMER], ids=["single", "double", "transformer"]
)
def test_what_a_member_keeps_for_every_step_is_in_its_estimate(changes, make_config):
    short, long = (make_config(**changes | {"trainer__max_steps": steps}) for steps in (1000, 10**6))
    kept = [sum(buffer.nbytes for buffer in SuperpositionModule([config]).buffers()) for config in (short, long)]
    assert 0 < kept[1] - kept[0] <= member_bytes(long) - member_bytes(short)


@pytest.mark.parametrize("changes", [{}, TRANSFORMER], ids=["student", "transformer"])
def test_an_evaluation_set_that_is_measured_in_one_block_is_estimated_as_one(changes, make_config):
    blocks, whole = (make_config(**changes | {"data__eval_size": size}) for size in (8192, 8191))
    output = 4 * 8191 * whole.data.length * whole.data.n_features
    assert member_bytes(whole) > member_bytes(blocks) + output


def test_a_transformer_is_estimated_by_its_positions_and_layers(make_config):
    changes = [{}, {"data__length": 4}, {"data__length": 4, "model__decoder__n_layers": 1}]
    sizes = [member_bytes(make_config(**TRANSFORMER | change)) for change in changes]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


def test_runs_whose_batches_have_another_form_train_apart(make_config, tmp_path):
    many = {"data__n_features": 512, "data__clip": True}
    configs = [make_config(data__density=density, **many) for density in (1.0, 400.0)]
    assert configs[0].pack_key() == configs[1].pack_key()
    points = [Point((), config, RunFolder(tmp_path / config.signature()[:8])) for config in configs]
    assert [len(pack.points) for pack in make_packs(points)] == [1, 1]


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_twenty_thousand_features_are_estimated_below_four_gibibytes(activation, make_config):
    config = make_config(
        data__n_features=20_000, model__width=512, data__batch_size=256, data__eval_size=8192,
        model__activation=activation,
    )  # fmt: skip
    assert 0.2 * 2**30 < member_bytes(config) < 4 * 2**30
