"""What a run is measured on is never trained on by a slip of a folder or a pattern."""

import numpy as np
import pytest
from training.token_runs import TOKENS

from superdyn.config import ConfigError
from superdyn.features.tokens.corpus import TokenCorpus
from superdyn.features.tokens.write import write_shard
from superdyn.training.feasible import check_feasible


@pytest.fixture
def folder(tmp_path):
    """As nanoGPT leaves it: train.bin and val.bin, bare."""
    for name in ("train", "val"):
        write_shard(tmp_path / f"{name}.bin", "raw", 64, np.arange(2000) % 64)
    return tmp_path


def check(make_config, files, eval_files=()):
    tokens = {"files": [str(file) for file in files], "eval_files": [str(file) for file in eval_files]}
    check_feasible(make_config(**{**TOKENS, "data__tokens": {"source": "files", "eval_tokens": 512} | tokens}))


def test_files_that_are_both_trained_on_and_measured_are_refused(make_config, folder):
    check(make_config, [folder / "train.bin"], [folder / "val.bin"])
    with pytest.raises(ConfigError, match=r"^data\.tokens\.eval_files=.*val\.bin is among data\.tokens\.files"):
        check(make_config, [folder / "train.bin", folder / "val.bin"], [folder / "." / "val.bin"])


@pytest.mark.parametrize("source", ["", "*.bin"])
def test_a_folder_or_pattern_with_both_splits_is_refused_and_named_files_are_meant(source, make_config, folder):
    with pytest.raises(ConfigError, match=r"holds val\.bin beside train\.bin, .* such as"):
        check(make_config, [folder / source])
    check(make_config, [folder / "train.bin", folder / "val.bin"])
    check(make_config, [folder / "v*.bin"])


def test_a_megatron_pair_may_be_named_without_suffix(tmp_path):
    write_shard(tmp_path / "corpus_text_document.bin", "megatron", 64, np.arange(64))
    np.testing.assert_array_equal(TokenCorpus(tmp_path / "corpus_text_document", 64).read(0, 64), np.arange(64))
