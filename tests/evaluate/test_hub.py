"""Revisions of a hub, served on this machine to the real client of the hub; `slow` for the processes that it needs.

The client reads the address of the hub when it is imported, hence a process for each command.
"""

import os
import subprocess
import sys

import pytest

pytest.importorskip("transformers", reason="the package transformers (extra llm) is not installed")

from evaluate.hub_server import MODEL, hub

from superdyn.analysis import load_curve

pytestmark = pytest.mark.slow


@pytest.fixture
def run(neox, tokens, tmp_path):
    """Runs `superdyn evaluate` against the hub; gives exit code, output and the files that were fetched."""
    with hub(neox) as (address, served):

        def call(*options, model=MODEL):
            served.clear()
            own = {"HF_ENDPOINT": address, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "*", "no_proxy": "*"}
            environment = {key: value for key, value in os.environ.items() if key != "HF_HUB_OFFLINE"} | own
            code = "from superdyn.cli import main; raise SystemExit(main())"
            command = ["evaluate", model, str(tmp_path / "out"), "--tokens", str(tokens), *options]
            done = subprocess.run(
                [sys.executable, "-c", code, *command], capture_output=True, text=True, env=environment, timeout=300
            )
            return done.returncode, done.stdout + done.stderr, list(served)

        yield call


def cached(folder):
    return list(folder.rglob("*.safetensors"))


def test_each_revision_is_downloaded_measured_and_deleted(run, measured, tmp_path):
    code, shown, served = run("--context", "32", "--revisions", "step0,step3,step64")
    assert code == 1, shown
    assert "revision step3: cannot be loaded: " in shown
    assert [path for path in served if path.endswith("safetensors")] == [
        f"{MODEL}/resolve/step{step}/model.safetensors" for step in (0, 64)
    ]
    assert cached(tmp_path) == []
    assert load_curve(tmp_path / "out")["loss"].tolist() == load_curve(measured)["loss"][[0, 8]].tolist()
    code, shown, served = run("--context", "32")  # auto: all branches
    assert (code, "13 revisions measured, 2 already stored" in shown) == (0, True), shown
    assert len([path for path in served if path.endswith("safetensors")]) == 13
    assert load_curve(tmp_path / "out").equals(load_curve(measured))


def test_the_users_cache_is_kept_and_used(run, tmp_path):
    assert run("--revisions", "step0", "--keep-cache")[0] == 0
    (file,) = cached(tmp_path / "hf")
    code, _, served = run("--revisions", "step0", "--context", "16")
    assert code == 2  # another context belongs into another folder; the cache was looked at only
    (tmp_path / "out").rename(tmp_path / "other")
    code, _, served = run("--revisions", "step0", "--context", "16")
    assert (code, [path for path in served if path.endswith("safetensors")]) == (0, [])
    assert file.exists()


def test_an_unknown_model_is_refused_in_one_sentence(run):
    for options in ((), ("--revisions", "public")):
        code, shown, _ = run(*options, model="tiny/nothing")
        assert (code, shown.count("\n")) == (2, 1)
        assert shown.startswith("superdyn: MODEL")
