"""`superdyn train -m` as users call it, in a folder of the test and with runs that take milliseconds."""

import sys

import pytest
from sweeps.faulty import FOLDER

from superdyn.hydra_app import train

TINY = [
    "logger=none",
    "trainer.max_steps=2",
    "trainer.progress=false",
    "data.n_features=16",
    "data.eval_size=64",
    "data.batch_size=8",
]

EXPERIMENTS = {
    "two_models": """
hydra:
  sweeper:
    params: {data.data_exponent: "1.2,1.5"}
    grids:
      - {model: no_superposition}
      - {model: trained_embedding, seed: "0,1"}
""",
    "one_model": """
hydra:
  sweeper:
    params: {data.data_exponent: "1.5,2"}
    grids:
      - {model: no_superposition}
""",
}


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Call with overrides; returns the sweep's outcome."""
    monkeypatch.chdir(tmp_path)

    def launch(*overrides):
        flags = [text for text in overrides if text.startswith("-")]  # before the overrides, as argparse wants them
        outcome = train(["-m", *flags, *TINY, *(text for text in overrides if text not in flags)])
        assert outcome is not None
        return outcome

    return launch


@pytest.fixture
def own_experiments(tmp_path):
    """A user's folder of experiments, as `--config-dir` takes it."""
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    for name, text in EXPERIMENTS.items():
        (folder / f"{name}.yaml").write_text(f"# @package _global_\nname: {name}\n{text}")
    return f"--config-dir={folder.parent}"


@pytest.fixture
def faults(tmp_path, monkeypatch):
    """A folder in which a test prepares faults, and what the students note there."""
    folder = tmp_path / "faults"
    folder.mkdir()
    monkeypatch.setenv(FOLDER, str(folder))
    monkeypatch.setenv("SUPERDYN_PACKAGES", "sweeps")
    monkeypatch.setenv("PYTHONPATH", ":".join(filter(None, sys.path)))
    return folder


@pytest.fixture
def sweep_plan(tmp_path, monkeypatch, capsys):
    """Call with overrides; returns what `sweep.plan=true` prints."""
    monkeypatch.chdir(tmp_path)

    def launch(*overrides):
        capsys.readouterr()
        assert train(["-m", *TINY, *overrides, "sweep.plan=true"]) is None
        return capsys.readouterr().out

    return launch
