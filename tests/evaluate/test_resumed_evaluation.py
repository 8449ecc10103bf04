"""A killed evaluation goes on: what is measured stays, and the end is that of one left in peace."""

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

pytest.importorskip("transformers", reason="the package transformers (extra llm) is not installed")

from evaluate.tiny import STEPS

from superdyn.analysis import load_curve
from superdyn.analysis.evaluated import load_bin_losses
from superdyn.cli import main
from superdyn.runs.folder import RunFolder
from superdyn.verify.verification import verification


def kill_after(command, done, count):
    """SIGKILL once `count` files are in the folder."""
    code = "from superdyn.cli import main; raise SystemExit(main())"
    process = subprocess.Popen([sys.executable, "-c", code, *command], stdout=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while len(list(done.glob("[!.]*"))) < count:
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < limit
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_killed_evaluation_measures_only_what_is_missing(measured, neox, tokens, tmp_path, capsys):
    out = tmp_path / "neox"
    command = ["evaluate", str(neox), str(out), "--tokens", str(tokens), "--context", "32"]
    kill_after(command, out / "revisions", 3)
    status = RunFolder(out).status()
    assert status is not None
    assert status.is_stale()
    kept = {file.name: file.stat().st_mtime_ns for file in (out / "revisions").glob("[!.]*")}
    assert 3 <= len(kept) < len(STEPS)
    assert main(["verify", str(out)]) == 0
    assert main(command) == 0
    assert f"{len(STEPS) - len(kept)} revisions measured, {len(kept)} already stored" in capsys.readouterr().out
    assert {name: (out / "revisions" / name).stat().st_mtime_ns for name in kept} == kept
    pd.testing.assert_frame_equal(load_curve(out), load_curve(measured), check_exact=True)
    for kind in ("occurrences", "rank"):
        assert load_bin_losses(out, kind)[1].tobytes() == load_bin_losses(measured, kind)[1].tobytes()
    assert list(verification(out).run()) == []


def test_a_damaged_measurement_is_made_again(measured, neox, tokens, tmp_path, capsys):
    out = tmp_path / "out"
    command = [
        "evaluate",
        str(neox),
        str(out),
        "--tokens",
        str(tokens),
        "--context",
        "32",
        "--revisions",
        "step0,step1",
    ]
    assert main(command) == 0
    file = out / "revisions" / "step1.parquet"
    os.truncate(file, file.stat().st_size // 2)
    assert main(command) == 0
    assert "1 revisions measured, 1 already stored" in capsys.readouterr().out
    content = bytearray(file.read_bytes())
    content[content.index(b"PAR1") + 40] ^= 1
    file.write_bytes(content)
    assert [(finding.file, finding.kind) for finding in verification(out).run()] == [
        ("revisions/step1.parquet", "altered")
    ]
    assert main(command) == 0
    assert "1 revisions measured, 1 already stored" in capsys.readouterr().out
    assert list(verification(out).run()) == []
    assert load_curve(out)["loss"].tolist() == load_curve(measured)["loss"].tolist()[:2]


def test_two_processes_do_not_evaluate_into_one_folder(neox, tokens, tmp_path, capsys):
    from filelock import FileLock

    (tmp_path / "out").mkdir()
    with FileLock(tmp_path / "out" / ".lock"):
        assert main(["evaluate", str(neox), str(tmp_path / "out"), "--tokens", str(tokens)]) == 2
    assert "another process evaluates into this folder" in capsys.readouterr().err
