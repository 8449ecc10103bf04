"""The Python that pages show runs as it stands, on a small sweep in the place of the reader's."""

import re
import shutil
from pathlib import Path

import matplotlib
import pytest

from superdyn.cli import main

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "docs/tutorial.md", "docs/python.md"]
TRAIN = ["train", "-m", "name=first", "model.width=16", "data.data_exponent=2", "seed=0,1", "trainer.max_steps=20"]
SPARSITY = ["train", "-m", "name=sparsity", "model=elhage", "optimizer=adam", "data.n_features=40", "model.width=4",
            "data.data_exponent=0", "data.density=35,10", "trainer.max_steps=20"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A working directory with the sweeps that the pages speak of."""
    folder = tmp_path_factory.mktemp("notebook")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for sweep in (TRAIN, SPARSITY):
            assert main([*sweep, "logger=none", "data.batch_size=8", "data.eval_size=64"]) == 0
    for name in ("second", "width"):
        shutil.copytree(folder / "runs" / "first", folder / "runs" / name)
    return folder


@pytest.mark.parametrize("page", PAGES)
def test_every_python_block_of_a_page_runs(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    matplotlib.use("Agg")
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert blocks
    names: dict[str, object] = {}
    for block in blocks:
        exec(block, names)
