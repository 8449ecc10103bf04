"""Checkpoints, token files and one evaluation of them, made once for all tests of this folder."""

import sys
from pathlib import Path

import pytest

from superdyn.cli import main


@pytest.fixture(autouse=True)
def no_hub(monkeypatch, tmp_path):
    """Nothing is asked of a hub, and the path that the command extends is put back."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture(scope="session")
def neox(tmp_path_factory) -> Path:
    from evaluate.tiny import STEPS, train

    return train("neox", tmp_path_factory.mktemp("neox"), STEPS)


@pytest.fixture(scope="session")
def tokens(tmp_path_factory) -> Path:
    from evaluate.tiny import write_tokens

    return write_tokens(tmp_path_factory.mktemp("tokens") / "shards")


@pytest.fixture(scope="session")
def measured(neox, tokens, tmp_path_factory) -> Path:
    """All revisions of the GPT-NeoX, evaluated without interruption."""
    before = list(sys.path)
    out = tmp_path_factory.mktemp("evaluations") / "neox"
    assert main(["evaluate", str(neox), str(out), "--tokens", str(tokens), "--context", "32"]) == 0
    sys.path[:] = before
    return out
