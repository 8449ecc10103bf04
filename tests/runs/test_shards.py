"""Checkpoints in parts: a set counts when complete and of one save, and any layout is read from any other."""

from pathlib import Path

import pytest
import torch

from superdyn.runs.checkpoints import (
    checkpoint_steps,
    drop_later,
    load_checkpoint,
    resume_groups,
    save_checkpoint,
    write_checkpoint,
)
from superdyn.runs.shard_writer import save_shards
from superdyn.runs.shards import SavedState, part_path
from superdyn.training.data_parallel import Ranks
from superdyn.training.sharding import Place

WHOLE = {"w": torch.arange(48.0).reshape(4, 12), "v": torch.arange(8.0), "count": torch.tensor(0.9).double()}
CUTS = {"w": 1, "v": 0}


def place(name: str, dim: int, rank: int, size: int) -> Place:
    length = WHOLE[name].shape[dim] // size
    return Place(dim, rank * length, length, tuple(WHOLE[name].shape))


def save(directory: Path, step: int, size: int, *ranks: int, mark: str = "one") -> None:
    """The parts of these of `size` ranks, by default of all."""
    for rank in ranks or range(size):
        places = {name: place(name, dim, rank, size) for name, dim in CUTS.items()}
        state = {n: places[n].of(whole).clone() if n in places else whole for n, whole in WHOLE.items()}
        where = {n: {"dim": p.dim, "start": p.start, "shape": list(p.shape)} for n, p in places.items()}
        content = {"step": step, "state": state, "meta": {"signature": "ab"}, "places": where, "mark": mark}
        write_checkpoint(part_path(directory, step, rank, size), content)


def test_a_set_counts_once_it_is_complete(tmp_path):
    save(tmp_path, 10, 2)
    save(tmp_path, 20, 4, 0, 1, 3)
    save(tmp_path, 20, 2, 1)
    assert checkpoint_steps(tmp_path) == [10]
    assert resume_groups([tmp_path]) == [(10, [0])]
    save(tmp_path, 20, 4, 2)
    assert checkpoint_steps(tmp_path) == [10, 20]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_one_process_puts_the_parts_together(size, tmp_path):
    save(tmp_path, 10, size)
    loaded = load_checkpoint(tmp_path, 10)
    assert loaded is not None
    assert (loaded.step, loaded.meta) == (10, {"signature": "ab"})
    assert loaded.state.keys() == WHOLE.keys()
    for name, tensor in loaded.state.items():
        assert torch.equal(tensor, WHOLE[name]), name


@pytest.mark.parametrize("saved", [0, 1, 2, 4])
@pytest.mark.parametrize("size", [2, 3, 4])
@pytest.mark.parametrize("dim", [0, 1])
def test_a_rank_reads_its_shard_of_any_layout(dim, size, saved, tmp_path):
    """`saved` = 0: of a whole checkpoint."""
    if saved:
        save(tmp_path, 10, saved)
    else:
        save_checkpoint(tmp_path, 10, WHOLE)
    loaded = load_checkpoint(tmp_path, 10, mapped=True)
    assert loaded is not None
    state = loaded.state
    assert isinstance(state, SavedState)
    for rank in range(size if WHOLE["w"].shape[dim] % size == 0 else 0):
        wanted = place("w", dim, rank, size)
        assert torch.equal(state.piece("w", wanted), wanted.of(WHOLE["w"]))
    assert torch.equal(state.piece("count", None), WHOLE["count"])


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("damage", ["cut short", "a byte", "another save"])
def test_a_damaged_set_is_named_and_the_one_before_it_used(damage, mapped, tmp_path):
    save(tmp_path, 10, 2)
    save(tmp_path, 20, 2)
    path = part_path(tmp_path, 20, 1, 2)
    content = bytearray(path.read_bytes())
    if damage == "another save":
        save(tmp_path, 20, 2, 1, mark="other")
    elif damage == "a byte":
        content[content.index(WHOLE["v"][4:].numpy().tobytes()) + 3] ^= 1
        path.write_bytes(content)
    else:
        path.write_bytes(content[: len(content) // 2])
    with pytest.warns(UserWarning, match=r"step-0000000020\.1-of-2\.pt cannot be read, an older"):
        assert load_checkpoint(tmp_path, 20, mapped=mapped) is None
    assert load_checkpoint(tmp_path, 10, mapped=mapped) is not None


def test_only_the_newest_two_sets_and_the_scheduled_ones_are_kept(tmp_path):
    save(tmp_path, 5, 2, 0)
    for step in (8, 10, 20):
        save(tmp_path, step, 2)
    here = {"w": Place(1, 0, 12, (4, 12))}
    save_shards(Ranks(0, 1), tmp_path, 30, lambda: {"w": WHOLE["w"]}, lambda: here, scheduled=[8])
    assert checkpoint_steps(tmp_path) == [8, 20, 30]
    assert len(list(tmp_path.iterdir())) == 5


def test_what_a_run_goes_on_from_is_not_completed_by_other_attempts(tmp_path):
    save(tmp_path, 8, 4, 2)
    save(tmp_path, 10, 2)
    save(tmp_path, 10, 4, 1)
    save(tmp_path, 20, 2, 0)
    save(tmp_path, 30, 2)
    drop_later(tmp_path, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-0000000010.1-of-2.pt",
        "step-0000000010.2-of-2.pt",
    ]


def test_a_run_whose_machines_share_no_folder_is_refused(tmp_path):
    class Lonely(Ranks):
        """The first of two ranks whose companion writes elsewhere."""

        def from_first(self, value):
            return value

        def from_all(self, value):
            return [value] * 2

    with pytest.raises(ValueError, match=r"fsdp needs a run folder that all of them share"):
        save_shards(Lonely(0, 2), tmp_path, 10, dict, dict)
