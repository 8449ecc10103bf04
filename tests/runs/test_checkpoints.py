"""Checkpoints: whole or absent, the newest two kept, a damaged one named and passed over."""

from pathlib import Path

import pytest
import torch

from superdyn.runs.checkpoints import checkpoint_steps, load_latest, resume_groups, save_checkpoint


def save(directory: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(directory, step, {"w": torch.full((3,), float(step))}, {"signature": "ab", "seeds": [1, 2]})


def test_the_newest_checkpoint_comes_back_with_its_metadata(tmp_path: Path) -> None:
    save(tmp_path, 10, 20)
    latest = load_latest(tmp_path)
    assert latest is not None
    assert (latest.step, latest.meta) == (20, {"signature": "ab", "seeds": [1, 2]})
    torch.testing.assert_close(latest.state["w"], torch.full((3,), 20.0), rtol=0, atol=0)


def test_no_checkpoint_is_none(tmp_path: Path) -> None:
    assert load_latest(tmp_path / "never made") is None


def test_only_the_newest_two_are_kept(tmp_path: Path) -> None:
    save(tmp_path, 10, 20, 30)
    assert checkpoint_steps(tmp_path) == [20, 30]
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\0" * len(b)])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_used(tmp_path: Path, damage) -> None:
    save(tmp_path, 10, 20)
    newest = tmp_path / "step-0000000020.pt"
    newest.write_bytes(damage(newest.read_bytes()))
    with pytest.warns(UserWarning, match=r"step-0000000020\.pt"):
        latest = load_latest(tmp_path)
    assert latest is not None
    assert latest.step == 10


def test_a_slice_of_a_stack_does_not_store_the_stack(tmp_path: Path) -> None:
    stack = torch.zeros(64, 1000)
    path = save_checkpoint(tmp_path, 1, {"w": stack[3]})
    assert path.stat().st_size < 2 * stack[3].nbytes


def test_members_go_on_together_from_the_newest_step_that_they_share(tmp_path: Path) -> None:
    save(tmp_path / "a", 10, 20)
    save(tmp_path / "b", 10)
    save(tmp_path / "c", 30, 40)
    names = [tmp_path / name for name in ("a", "b", "c", "never made")]
    assert resume_groups(names) == [(0, [3]), (10, [0, 1]), (40, [2])]


class Intruder:
    """Pickled, it asks whoever unpickles it to make a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("where", ["state", "meta", "all"])
def test_a_checkpoint_that_would_run_code_is_refused_and_the_one_before_it_used(tmp_path: Path, where: str) -> None:
    save(tmp_path, 10)
    bad = Intruder(tmp_path / "mark")
    content = {"step": 20, "state": {"w": torch.zeros(1)}, "meta": {}} | ({} if where == "all" else {where: bad})
    torch.save(bad if where == "all" else content, tmp_path / "step-0000000020.pt")
    with pytest.warns(
        UserWarning, match=r"step-0000000020\.pt cannot be read, an older checkpoint is used: it names getattr"
    ):
        latest = load_latest(tmp_path)
    assert latest is not None
    assert latest.step == 10
    assert not (tmp_path / "mark").exists()
