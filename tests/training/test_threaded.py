"""Members that are shared out between threads have the bits of lone runs, and stop and go on as a pack does."""

import numpy as np
import pytest
import torch

from superdyn.models import dense_chain
from superdyn.runs.checkpoints import checkpoint_steps, load_checkpoint
from superdyn.training import threaded
from superdyn.training.engine import Engine
from superdyn.training.module import SuperpositionModule
from superdyn.training.threaded import ThreadedEngine

MEMBERS = [{"seed": s, "optimizer__lr": 0.1 / (1 + s), "data__data_exponent": 1.2 + s / 5} for s in range(5)]


@pytest.fixture
def two_threads(monkeypatch):
    """Two threads for packs of any size, until `monkeypatch.undo()`."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    monkeypatch.setattr(threaded, "LARGE_PACK", 0)
    monkeypatch.setattr(dense_chain, "is_faster", lambda *_: True)
    yield
    torch.set_num_threads(before)


def assert_same_run(one, other):
    for name, column in one.curve().items():
        np.testing.assert_array_equal(column, other.curve()[name], err_msg=name)
    states = []
    for folder in (one, other):
        checkpoint = load_checkpoint(folder.checkpoints, checkpoint_steps(folder.checkpoints)[-1])
        assert checkpoint is not None
        states.append(checkpoint.state)
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name]), name


CHANGES = {"adam": {"optimizer__name": "adam", "model__bias": True}, "odd": {"data__n_features": 29}}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
@pytest.mark.usefixtures("two_threads")
def test_shares_have_the_bits_of_lone_runs_and_of_a_stop(changes, make_config, train_together, stop_at):
    configs = [make_config(**member, **changes) for member in MEMBERS]
    assert isinstance(SuperpositionModule(configs).engine, ThreadedEngine)
    assert isinstance(SuperpositionModule(configs[:1]).engine, Engine)
    stop_at(7)
    stopped = train_together(configs, "packed")
    assert {folder.status().state for folder in stopped} == {"interrupted"}
    stop_at.undo()
    packed = train_together(configs, "packed")
    for config, folder in ((configs[r], packed[r]) for r in (1, 4)):
        assert_same_run(folder, train_together([config], f"solo-{config.seed}")[0])


@pytest.mark.usefixtures("two_threads")
def test_a_diverging_member_fails_alone_in_its_share(make_config, train_together):
    rates = (0.1, 0.1, 0.1, 1e3, 0.1)
    configs = [
        make_config(seed=s, optimizer__lr=lr, model__activation="linear", model__width=31) for s, lr in enumerate(rates)
    ]
    packed = train_together(configs, "packed")
    assert [folder.status().state for folder in packed] == ["done", "done", "done", "failed", "done"]
    assert_same_run(packed[4], train_together(configs[4:], "solo")[0])


@pytest.mark.usefixtures("two_threads")
def test_an_error_in_one_share_waits_for_the_others(make_config):
    engine = ThreadedEngine([make_config(**member) for member in MEMBERS])
    done = []

    def act(share, members):
        if members.start == 0:
            raise ValueError("from the first share")
        done.append(members)

    with pytest.raises(ValueError, match="from the first share"):
        engine._together(act)
    assert done == [slice(2, 5)]
