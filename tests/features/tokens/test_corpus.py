"""Windows of a corpus: the right tokens, each once an epoch, and a function of (seed, step, sample) alone."""

import numpy as np
import pytest
import torch
from training.token_runs import TOKENS

from superdyn.features.token_stream import TokenDraws
from superdyn.features.tokens.corpus import TokenCorpus, TokenWindows
from superdyn.features.tokens.write import ShardWriter, write_shard

V, T, S = 1000, 8, 6


@pytest.fixture
def ids():
    """As many tokens as make 50 windows and a rest."""
    return np.random.default_rng(1).integers(0, V, 50 * T + 4)


@pytest.fixture
def corpus(tmp_path, ids):
    """Shards of all three formats and of odd lengths, one shorter than a window."""
    parts = np.split(ids, [101, 105, 260])
    for i, (part, format) in enumerate(zip(parts, ("headered", "raw", "megatron", "headered"), strict=True)):
        write_shard(tmp_path / f"{i}.bin", format, V, part)
    return TokenCorpus(tmp_path, V)


def test_shards_read_as_one_sequence(corpus, ids):
    assert len(corpus) == len(ids)
    for start, count in ((0, len(ids)), (100, 1), (100, 2), (99, 180), (260, 3), (len(ids), 0)):
        np.testing.assert_array_equal(corpus.read(start, count), ids[start : start + count])
    np.testing.assert_array_equal(np.concatenate(list(corpus.chunks())), ids)


def test_a_batch_holds_windows_and_their_successors(corpus, ids):
    windows = TokenWindows(corpus, T, S, seed=3)
    batch = windows.batch(7)
    assert batch.inputs.shape == batch.targets.shape == (S, T)
    assert batch.inputs.dtype == batch.targets.dtype == torch.int64
    for row, window in enumerate(windows.windows(7)):
        np.testing.assert_array_equal(batch.inputs[row], ids[window * T : window * T + T])
        np.testing.assert_array_equal(batch.targets[row], ids[window * T + 1 : window * T + T + 1])


def test_an_epoch_shows_every_window_once(corpus):
    stream = TokenWindows(corpus, T, S, seed=3)
    assert stream.n_windows == 50
    seen = np.concatenate([stream.windows(step) for step in range(3 * 50 // S)])
    epochs = seen.reshape(3, 50)
    assert all(sorted(epoch) == list(range(50)) for epoch in epochs)
    assert not np.array_equal(epochs[0], epochs[1])


def test_a_batch_may_be_larger_than_an_epoch(corpus):
    counts = np.bincount(TokenWindows(corpus, T, 100, seed=0).windows(1), minlength=50)
    assert counts.tolist() == [2] * 50


def test_a_new_process_resumes_at_the_exact_sample(corpus, tmp_path):
    uninterrupted = [TokenWindows(corpus, T, S, seed=3).batch(step) for step in range(20)]
    resumed = TokenWindows(TokenCorpus(tmp_path, V), T, S, seed=3)
    for step in (13, 19, 2):
        assert torch.equal(resumed.batch(step).inputs, uninterrupted[step].inputs)


def test_the_slices_of_the_ranks_make_up_the_batch(corpus):
    stream = TokenWindows(corpus, T, S, seed=3)
    whole, parts = stream.batch(8), [stream.batch(8, slice(2 * rank, 2 * rank + 2)) for rank in range(3)]
    assert torch.equal(torch.cat([part.inputs for part in parts]), whole.inputs)
    assert torch.equal(torch.cat([part.targets for part in parts]), whole.targets)


def test_a_member_reads_the_same_text_alone_and_in_a_pack(corpus, tmp_path, make_config):
    files = {"source": "files", "files": [str(tmp_path)], "eval_tokens": T}
    shape = {"data__tokens": files, "data__n_features": V, "data__length": T, "data__batch_size": S}
    configs = [make_config(**TOKENS | shape, seed=seed) for seed in range(3)]
    pack = TokenDraws(configs, slice(0, S)).batches(5, 6).step(0)
    assert pack.inputs.shape == (3, S, T)
    for r, config in enumerate(configs):
        alone = TokenWindows(corpus, T, S, config.seed, len(corpus) - T - 1).batch(5)
        assert torch.equal(pack.inputs[r], alone.inputs)
        assert torch.equal(pack.targets[r], alone.targets)
    assert not torch.equal(pack.inputs[0], pack.inputs[1])


def test_shards_are_found_by_folder_pattern_and_list(tmp_path, corpus, ids):
    pattern = TokenCorpus(str(tmp_path / "*.bin"), V)
    listed = TokenCorpus([tmp_path / "2.bin", tmp_path / "0.bin"], V)
    assert len(pattern) == len(ids)
    np.testing.assert_array_equal(listed.read(0, 5), ids[105:110])
    for nothing in (tmp_path / "none*.bin", tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match="none"):
            TokenCorpus(nothing, V)


def test_a_vocabulary_that_is_too_small_is_refused(tmp_path, corpus, ids):
    with pytest.raises(ValueError, match=rf"id \d+; a vocabulary of {ids.max()} allows ids 0 to {ids.max() - 1}\.$"):
        TokenCorpus(tmp_path, int(ids.max()))
    assert len(TokenCorpus(tmp_path, 2, check=False)) == len(ids)


def test_the_manifest_finds_a_raw_shard_that_lost_its_tail(tmp_path, ids):
    writer = ShardWriter(tmp_path / "shards", "raw", V, "numbers", shard_tokens=150)
    writer.add(ids)
    writer.close()
    path = tmp_path / "shards" / "tokens_000001.bin"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=rf"^{path}: was cut short: tokens\.json counts 150 tokens and it has 140\.$"):
        TokenCorpus(tmp_path / "shards", V)
    with pytest.raises(ValueError, match=r"vocabulary of 1000 \(tokenizer numbers\); vocabulary_size=999 must be"):
        TokenCorpus(tmp_path / "shards" / "tokens_000000.bin", V - 1)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="tokens_000001"):
        TokenCorpus(tmp_path / "shards", V)


def test_sizes_that_do_not_fit_are_refused(corpus):
    with pytest.raises(ValueError, match=r"^context=404: longer than the corpus, whose 404 tokens allow 1 to 403\.$"):
        TokenWindows(corpus, 404, S, seed=0)
    assert TokenWindows(corpus, 403, S, seed=0).n_windows == 1
    for context, batch_size, key in ((0, 1, "context=0"), (1, 0, "batch_size=0")):
        with pytest.raises(ValueError, match=f"^{key}: must be at least 1"):
            TokenWindows(corpus, context, batch_size, seed=0)
