"""Run folders: what is written is read back, absence is tolerated, a part of a file is refused."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from superdyn.atomic import write_atomically
from superdyn.runs.folder import RunFolder
from superdyn.runs.status import Status


def curve(rows: int) -> dict[str, np.ndarray]:
    steps = np.arange(rows)
    return {"step": steps, "lr_time": steps * 0.1, "loss": 1.0 / (1 + steps), "overlap": steps * 2.0}


def test_curve_and_spectrum_come_back_as_written(tmp_path: Path) -> None:
    folder, loss = RunFolder(tmp_path), np.random.default_rng(0).random((7, 5)).astype(np.float32)
    folder.write_curve(curve(7))
    folder.write_spectrum(np.arange(7), loss)
    read, spectrum = folder.curve(), folder.spectrum()
    assert read is not None
    assert list(read) == ["step", "lr_time", "loss", "overlap"]
    assert read["step"].dtype == np.int64
    np.testing.assert_array_equal(read["loss"], curve(7)["loss"])
    assert spectrum is not None
    assert spectrum[1].dtype == np.float32
    np.testing.assert_array_equal(spectrum[1], loss)


def test_spectrum_may_have_other_columns(tmp_path: Path) -> None:
    folder, other = RunFolder(tmp_path), np.array([[1.0, np.nan, 2.0], [3.0, np.nan, 4.0]])
    folder.write_spectrum(np.arange(2), np.ones((2, 5)), {"rank_loss": other})
    loss, read = folder.spectrum(), folder.spectrum("rank_loss")
    assert loss is not None
    assert read is not None
    assert loss[1].shape == (2, 5)
    np.testing.assert_array_equal(read[1], other.astype(np.float32))


def test_spectrum_is_a_fixed_size_list_for_other_tools(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    RunFolder(tmp_path).write_spectrum(np.arange(2), np.ones((2, 5)))
    schema = pq.read_schema(tmp_path / "spectrum.parquet")
    assert schema.field("step").type == pa.int64()
    assert schema.field("loss").type == pa.list_(pa.float32(), 5)


def test_an_empty_folder_reads_as_absent(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "never made")
    contents = [folder.config(), folder.status(), folder.curve(), folder.spectrum(), folder.result()]
    assert contents == [None] * 5
    assert not folder.exists()


@pytest.mark.parametrize("name", ["config.yaml", "status.json", "curve.parquet", "spectrum.parquet", "result.json"])
def test_a_file_that_was_cut_short_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path)
    folder.write_config({"model": {"width": 3}, "list": "[a, b"})
    folder.write_status(Status("done", 1, 1, "ab", "name"))
    folder.write_curve(curve(3))
    folder.write_spectrum(np.arange(3), np.ones((3, 4)))
    folder.write_result({"alpha": 1.0})
    path = tmp_path / name
    path.write_bytes(b"{" + path.read_bytes()[: path.stat().st_size // 2])
    readers = {
        "config.yaml": folder.config,
        "status.json": folder.status,
        "curve.parquet": folder.curve,
        "spectrum.parquet": folder.spectrum,
        "result.json": folder.result,
    }
    with pytest.raises(ValueError, match=name):
        readers[name]()


def test_numbers_that_are_not_finite_become_null_in_the_result(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_result({"alpha": np.float64("nan"), "window": (1.0, float("inf")), "n": np.int64(3)})
    assert folder.result() == {"alpha": None, "window": [1.0, None], "n": 3}


def test_the_configuration_is_plain_yaml_and_the_environment_stands_beside_it(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    config = {"seed": 3, "data": {"density": 1.0}, "tags": ["a"], "claim": None}
    folder.prepare(config, "ab" * 32)
    environment = folder.environment()
    assert folder.config() == config
    assert environment is not None
    assert {"started", "host", "python", "versions", "git"} <= environment.keys()


def test_a_folder_that_holds_another_run_is_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.write_status(Status("done", 1, 1, "a" * 64, "name"))
    with pytest.raises(ValueError, match=r"signature aaaaaaaa, not bbbbbbbb"):
        folder.prepare({}, "b" * 64)


def test_an_unknown_state_is_refused() -> None:
    with pytest.raises((ValueError, TypeError), match="lost"):  # TypeError where annotations are checked
        Status("lost", 1, 1, "ab", "name")  # pyright: ignore[reportArgumentType]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")

    def fail(file) -> None:
        file.write(b"half")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]


WRITE_FOR_EVER = """
import sys, itertools, numpy as np
from superdyn.runs.folder import RunFolder
folder = RunFolder(sys.argv[1])
for rows in itertools.count(1):
    steps = np.arange(rows % 50 + 1)
    loss = np.full(len(steps), float(len(steps)))
    folder.write_curve({"step": steps, "lr_time": steps * 0.1, "loss": loss})
    folder.write_spectrum(steps, np.full((len(steps), 512), float(len(steps))))
    folder.write_result({"rows": [len(steps)] * 1000})
"""


def test_a_writer_that_is_killed_leaves_only_whole_files(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    for attempt in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)])
        while not (tmp_path / "result.json").exists():
            time.sleep(0.01)
        time.sleep(0.05 + 0.037 * attempt)
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
        read, spectrum, result = folder.curve(), folder.spectrum(), folder.result()
        assert read is not None
        assert spectrum is not None
        assert result is not None
        assert len(read["step"]) == read["loss"][0]
        assert len(spectrum[0]) == spectrum[1][0, 0] == spectrum[1][-1, -1]
        assert result["rows"] == [result["rows"][0]] * 1000
        (tmp_path / "result.json").unlink()


def test_the_folder_is_read_without_torch() -> None:
    code = "import sys, superdyn.runs.sweep_status; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_full_size_record_is_written_in_milliseconds(tmp_path: Path) -> None:
    folder, loss = RunFolder(tmp_path), np.random.default_rng(0).random((150, 1024))
    folder.write_spectrum(np.arange(150), loss)
    begin = time.perf_counter()
    folder.write_spectrum(np.arange(150), loss)
    folder.write_curve(curve(150))
    assert time.perf_counter() - begin < 0.5
