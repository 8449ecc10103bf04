"""A sweep of features and tokens: each kind of run keeps its own figures."""

from pathlib import Path

import pytest

from superdyn.hydra_app import train
from superdyn.report.page import write_report

TOY = ["model=no_superposition", "trainer.max_steps=50", "data.n_features=16", "data.eval_size=128"]
TEXT = ["model=language_model", "trainer.max_steps=5", "data.n_features=32", "data.length=8",
        "data.batch_size=4", "data.tokens.eval_tokens=256", "model.decoder.size=null",
        "model.decoder.n_layers=1", "model.width=16"]  # fmt: skip


@pytest.mark.filterwarnings("ignore::superdyn.sweeps.other_study.OtherStudyWarning")
def test_toys_and_language_models_in_one_report(tmp_path: Path):
    for settings in (TOY, TEXT):
        assert train(["-m", f"hydra.sweep.dir={tmp_path}", "logger=none", *settings]) is not None
    page = write_report(tmp_path).read_text(encoding="utf-8")
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.svg")}
    assert {"loss_curves", "feature_heatmap", "half_times", "token_loss_curves", "token_bins"} <= drawn
    assert "Loss curves of language models" in page
    assert "exact solution for this student" in page
    assert "least loss that any model can reach" in page
