"""Run folders of a pack in a real Trainer: complete, resumable, and honest about what went wrong."""

import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest
from tiny_pack import EVERY_CHUNK, N_FEATURES, TinyPack, fit, make_config, train_slowly

from superdyn.runs import files_callback
from superdyn.runs.checkpoints import Checkpoint, checkpoint_steps, load_checkpoint, resume_groups
from superdyn.runs.files_callback import RunFiles
from superdyn.runs.folder import RunFolder
from superdyn.runs.sweep_status import sweep_status
from superdyn.verify.finding import Finding
from superdyn.verify.verification import verification

pytestmark = pytest.mark.filterwarnings(
    # Lightning 2.6 asks torch about tree leaves in a way that torch 2.13 deprecates.
    "ignore:`isinstance.treespec, LeafSpec.`:FutureWarning"
)


@pytest.fixture(autouse=True)
def no_limit_on_writing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Training these packs takes less time than writing their files."""
    monkeypatch.setattr(files_callback, "LARGEST_SHARE", float("inf"))


def folders(root: Path, count: int) -> list[RunFolder]:
    return [RunFolder(root / f"seed={i}") for i in range(count)]


def loss(folder: RunFolder) -> np.ndarray:
    curve = folder.curve()
    assert curve is not None
    return curve["loss"]


def newest(folder: RunFolder) -> Checkpoint:
    checkpoint = load_checkpoint(folder.checkpoints, checkpoint_steps(folder.checkpoints)[-1])
    assert checkpoint is not None
    return checkpoint


def state(folder: RunFolder) -> tuple[str, int, str | None]:
    status = folder.status()
    assert status is not None
    return status.state, status.step, status.error


def test_every_member_gets_a_complete_folder(tmp_path: Path) -> None:
    runs, configs = folders(tmp_path, 3), [make_config(seed) for seed in range(3)]
    fit(TinyPack(configs), [RunFiles(runs)])
    for run, config in zip(runs, configs, strict=True):
        curve, spectrum = run.curve(), run.spectrum()
        assert curve is not None
        assert spectrum is not None
        assert curve["step"].tolist() == list(range(0, 101, 10))
        assert list(curve) == ["step", "lr_time", "loss", "overlap"]
        assert spectrum[1].shape == (11, N_FEATURES)
        np.testing.assert_allclose(spectrum[1].sum(1), curve["loss"], rtol=1e-6)
        assert run.config() == config.to_mapping()
        assert state(run) == ("done", 100, None)
        assert newest(run).step == 100


def test_a_run_is_done_only_after_its_result_was_written(tmp_path: Path) -> None:
    (run,) = folders(tmp_path, 1)
    seen = []

    def on_done(folder: RunFolder) -> None:
        seen.append((state(folder)[0], len(loss(folder)), newest(folder).step))
        folder.write_result({"alpha": 1.0})

    fit(TinyPack([make_config()]), [RunFiles([run], on_done)])
    assert seen == [("running", 11, 100)]
    assert run.result() == {"alpha": 1.0}
    assert state(run)[0] == "done"


def test_a_diverged_member_fails_alone(tmp_path: Path) -> None:
    runs, configs = folders(tmp_path, 2), [make_config(0), make_config(1, lr=1e3)]
    fit(TinyPack(configs), [RunFiles(runs)])
    (alone,) = folders(tmp_path / "solo", 1)
    fit(TinyPack(configs[:1]), [RunFiles([alone])])
    name, step, error = state(runs[1])
    assert (name, error) == ("failed", f"diverged at step {step}: the loss is not finite")
    assert np.isfinite(loss(runs[1])).all()
    assert len(loss(runs[1])) < len(loss(runs[0]))
    assert state(runs[0]) == ("done", 100, None)
    np.testing.assert_array_equal(loss(runs[0]), loss(alone))


def test_training_stops_when_every_member_has_diverged(tmp_path: Path) -> None:
    (run,) = folders(tmp_path, 1)
    module = TinyPack([make_config(lr=1e3)])
    fit(module, [RunFiles([run])])
    assert module.step < 100
    assert state(run)[0] == "failed"


def test_an_error_fails_the_run_and_keeps_its_curve(tmp_path: Path) -> None:
    (run,) = folders(tmp_path, 1)
    with pytest.raises(RuntimeError, match="on fire"):
        fit(TinyPack([make_config()], fail_at=55), [RunFiles([run])])
    status = run.status()
    assert state(run) == ("failed", 55, "RuntimeError: the machine is on fire")
    assert status is not None
    assert "training_step" in (status.traceback or "")
    assert len(loss(run)) == 6


def test_a_resumed_pack_gives_the_curve_of_an_uninterrupted_one(tmp_path: Path) -> None:
    configs = [make_config(seed, checkpoint_minutes=EVERY_CHUNK) for seed in range(2)]
    whole, parts = folders(tmp_path / "whole", 2), folders(tmp_path / "parts", 2)
    fit(TinyPack(configs), [RunFiles(whole)])
    with pytest.raises(RuntimeError):
        fit(TinyPack(configs, fail_at=55), [RunFiles(parts)])
    assert resume_groups([run.checkpoints for run in parts]) == [(50, [0, 1])]
    again = TinyPack(configs)
    again.load_member_states([newest(run).state for run in parts], 50)
    fit(again, [RunFiles(parts)])
    for run, reference in zip(parts, whole, strict=True):
        assert (run.path / "curve.parquet").read_bytes() == (reference.path / "curve.parquet").read_bytes()
        np.testing.assert_array_equal(run.spectrum()[1], reference.spectrum()[1])  # pyright: ignore[reportOptionalSubscript]
        assert state(run) == ("done", 100, None)


def test_rows_after_the_checkpoint_are_dropped_on_resuming(tmp_path: Path) -> None:
    (run,) = folders(tmp_path, 1)
    fit(TinyPack([make_config()]), [RunFiles([run])])
    module = TinyPack([make_config()], fail_at=45)
    module.step = 40
    with pytest.raises(RuntimeError, match="on fire"):
        fit(module, [RunFiles([run])])
    assert run.curve()["step"].tolist() == [0, 10, 20, 30, 40]  # pyright: ignore[reportOptionalSubscript]


def test_one_folder_per_member_is_required(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="1 for 2 members"):
        fit(TinyPack([make_config(0), make_config(1)]), [RunFiles(folders(tmp_path, 1))])


@pytest.fixture
def slow_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BaseProcess]:
    """A process that trains and has written at least two checkpoints of every member.

    It is forked from a server that has imported Lightning, which takes seconds, once for all tests.
    """
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tiny_pack"])
    process = context.Process(target=train_slowly, args=(tmp_path,))
    process.start()
    while len(list(tmp_path.glob("seed=2/checkpoints/step-*.pt"))) < 2:
        assert process.is_alive()
        time.sleep(0.02)
    yield process
    process.kill()
    process.join()


def assert_resumable(runs: list[RunFolder]) -> None:
    """Every member has the rows up to a common checkpoint."""
    ((common, members),) = resume_groups([run.checkpoints for run in runs])
    assert common > 0
    assert len(members) == len(runs)
    for run in runs:
        curve, spectrum = run.curve(), run.spectrum()
        assert curve is not None
        assert spectrum is not None
        wanted = list(range(0, common + 1, 10))
        assert curve["step"].tolist()[: len(wanted)] == wanted
        assert spectrum[0].tolist()[: len(wanted)] == wanted


def test_a_killed_pack_can_resume_and_is_not_shown_as_running(slow_pack: BaseProcess, tmp_path: Path) -> None:
    slow_pack.kill()
    slow_pack.join()
    assert_resumable(folders(tmp_path, 3))
    assert [row.state for row in sweep_status(tmp_path)] == ["interrupted"] * 3


def problems(root: Path) -> list[Finding]:
    """Those that `superdyn verify` finds, but that a tiny pack measures at other steps than its configuration says."""
    return [found for found in verification(root).run() if found.problem and found.kind != "too few rows"]


def test_a_pack_is_verified_while_it_trains_and_after_it_was_killed(slow_pack: BaseProcess, tmp_path: Path) -> None:
    for _ in range(20):
        assert problems(tmp_path) == []
    slow_pack.kill()
    slow_pack.join()
    assert problems(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_pack_told_to_stop_saves_the_step_it_is_at(
    slow_pack: BaseProcess, tmp_path: Path, number: signal.Signals
) -> None:
    assert slow_pack.pid is not None
    os.kill(slow_pack.pid, number)
    slow_pack.join(timeout=20)
    runs = folders(tmp_path, 3)
    assert_resumable(runs)
    for run in runs:
        name, step, error = state(run)
        assert (name, error) == ("interrupted", None)
        assert newest(run).step == step
