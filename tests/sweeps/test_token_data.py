"""Token files that changed under a run's path are noticed: done runs are kept and said, begun ones do not go on."""

from dataclasses import replace

import numpy as np
import pytest
from training.token_runs import TOKENS

from superdyn.config import ConfigError
from superdyn.features.tokens.token_sequence import fingerprint
from superdyn.features.tokens.write import write_shard

SHORT = {**TOKENS, "trainer__max_steps": 4, "trainer__chunk_steps": 2}


def write(path, seed):
    write_shard(path, "headered", 64, np.random.default_rng(seed).integers(64, size=3000))


@pytest.fixture
def config(tmp_path, make_config):
    write(tmp_path / "train.bin", seed=0)
    tokens = {"source": "files", "files": [str(tmp_path / "train.bin")], "eval_tokens": 512}
    return make_config(**{**SHORT, "data__tokens": tokens})


def test_a_done_run_of_other_tokens_is_kept_and_said(config, tmp_path, train_together, recwarn):
    (folder,) = train_together([config])
    assert folder.environment()["tokens"]["files"]["tokens"] == 3000
    train_together([config])
    assert not recwarn.list
    write(tmp_path / "train.bin", seed=1)
    with pytest.warns(UserWarning, match=r"^1 of 1 done runs was trained or measured on other tokens than"):
        train_together([config])


def test_a_begun_run_does_not_go_on_with_other_tokens(config, tmp_path, train_together):
    (folder,) = train_together([config])
    folder.write_status(replace(folder.status(), state="interrupted"))
    write(tmp_path / "train.bin", seed=1)
    with pytest.raises(ConfigError, match=r"^data\.tokens\.files=.*: hold other tokens than when"):
        train_together([config])
    write(tmp_path / "train.bin", seed=0)
    train_together([config])
    assert folder.status().state == "done"


def test_a_fingerprint_knows_the_tokens_and_not_how_they_are_stored(tmp_path):
    ids = np.arange(3000) % 64
    write_shard(tmp_path / "whole.bin", "raw", 64, ids)
    write_shard(tmp_path / "part_0.bin", "headered", 64, ids[:700])
    write_shard(tmp_path / "part_1.bin", "megatron", 64, ids[700:])
    whole = fingerprint([str(tmp_path / "whole.bin")])
    assert fingerprint([str(tmp_path / "part_*.bin")]) == whole
    ids[1234] += 1
    write_shard(tmp_path / "whole.bin", "raw", 64, ids % 64)
    assert fingerprint([str(tmp_path / "whole.bin")]) != whole
