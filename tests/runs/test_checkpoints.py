"""Checkpoints: whole or absent, the newest two kept, a damaged one named and passed over."""

from pathlib import Path

import pytest
import torch

from superdyn.runs.checkpoints import checkpoint_steps, load_checkpoint, resume_groups, save_checkpoint


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "run" / "checkpoints"


def save(directory: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(directory, step, {"w": torch.full((3,), float(step))}, {"signature": "ab", "seeds": [1, 2]})


def test_the_newest_checkpoint_comes_back_with_its_metadata(directory: Path) -> None:
    save(directory, 10, 20)
    latest = load_checkpoint(directory, checkpoint_steps(directory)[-1])
    assert latest is not None
    assert (latest.step, latest.meta) == (20, {"signature": "ab", "seeds": [1, 2]})
    torch.testing.assert_close(latest.state["w"], torch.full((3,), 20.0), rtol=0, atol=0)


def test_without_a_checkpoint_there_is_no_step(directory: Path) -> None:
    assert checkpoint_steps(directory) == []


def test_only_the_newest_two_are_kept(directory: Path) -> None:
    save(directory, 10, 20, 30)
    assert checkpoint_steps(directory) == [20, 30]
    assert len(list(directory.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\0" * len(b)])
@pytest.mark.parametrize("listed", [True, False])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_not(directory: Path, damage, listed: bool) -> None:
    save(directory, 10, 20)
    newest = directory / "step-0000000020.pt"
    newest.write_bytes(damage(newest.read_bytes()))
    if not listed:
        (directory.parent / "manifest.json").unlink()
    with pytest.warns(UserWarning, match=r"step-0000000020\.pt cannot be read, an older checkpoint is used"):
        assert load_checkpoint(directory, 20) is None
    assert load_checkpoint(directory, 10) is not None


def test_a_slice_of_a_stack_does_not_store_the_stack(directory: Path) -> None:
    stack = torch.zeros(64, 1000)
    path = save_checkpoint(directory, 1, {"w": stack[3]})
    assert path.stat().st_size < 2 * stack[3].nbytes


def test_members_go_on_together_from_the_newest_step_that_they_share(tmp_path: Path) -> None:
    names = [tmp_path / name / "checkpoints" for name in ("a", "b", "c", "never made")]
    save(names[0], 10, 20)
    save(names[1], 10)
    save(names[2], 30, 40)
    assert resume_groups(names) == [(0, [3]), (10, [0, 1]), (40, [2])]


class Intruder:
    """Pickled, it asks whoever unpickles it to make a file."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("where", ["state", "meta", "all"])
def test_a_checkpoint_that_would_run_code_is_refused_and_the_one_before_it_is_not(directory: Path, where: str) -> None:
    save(directory, 10)
    bad = Intruder(directory / "mark")
    content = {"step": 20, "state": {"w": torch.zeros(1)}, "meta": {}} | ({} if where == "all" else {where: bad})
    torch.save(bad if where == "all" else content, directory / "step-0000000020.pt")
    with pytest.warns(
        UserWarning, match=r"step-0000000020\.pt cannot be read, an older checkpoint is used: it names getattr"
    ):
        assert load_checkpoint(directory, 20) is None
    assert load_checkpoint(directory, 10) is not None
    assert not (directory / "mark").exists()
