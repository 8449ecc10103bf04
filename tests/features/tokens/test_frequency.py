"""Counts of a corpus, and bins of tokens by frequency rank."""

import numpy as np
import pytest

from superdyn.features.tokens import token_file
from superdyn.features.tokens.corpus import TokenCorpus
from superdyn.features.tokens.frequency import NO_BIN, count_tokens, frequency_bins, occurrence_bins
from superdyn.features.tokens.write import write_shard
from superdyn.features.tokens.zipf import zipf_frequencies


def test_counts_stream_over_the_shards(tmp_path, monkeypatch):
    ids = np.random.default_rng(0).integers(0, 50, 5000)
    write_shard(tmp_path / "0.bin", "raw", 60, ids[:1234])
    write_shard(tmp_path / "1.bin", "megatron", 70_000, ids[1234:])
    monkeypatch.setattr("superdyn.features.tokens.corpus.CHUNK_TOKENS", 100)
    assert token_file.CHUNK_TOKENS > 5000
    np.testing.assert_array_equal(count_tokens(TokenCorpus(tmp_path, 60)), np.bincount(ids, minlength=60))


@pytest.mark.parametrize("bins", [1, 4, 16, 1000])
def test_every_token_that_occurs_lies_in_one_bin(bins):
    counts = np.random.default_rng(0).integers(0, 4, 300)
    found = frequency_bins(counts, bins)
    np.testing.assert_array_equal(found.bin_of == NO_BIN, counts == 0)
    np.testing.assert_array_equal(np.bincount(found.bin_of[counts > 0]), found.types)
    assert found.types.sum() == np.count_nonzero(counts)
    np.testing.assert_allclose(found.share, np.bincount(found.bin_of[counts > 0], counts[counts > 0]) / counts.sum())


def test_more_frequent_tokens_lie_in_earlier_bins():
    counts = np.random.default_rng(1).permutation(1000)
    bin_of = frequency_bins(counts).bin_of
    assert (np.diff(bin_of[np.argsort(-counts)[:-1]]) >= 0).all()


def test_ties_go_by_id_and_known_frequencies_work_as_counts_do():
    assert frequency_bins(np.array([2, 5, 5, 2]), 2).bin_of.tolist() == [1, 0, 1, 1]
    found = frequency_bins(zipf_frequencies(1000, 1.0))
    np.testing.assert_array_equal(found.bin_of, np.repeat(np.arange(len(found.types)), found.types))
    assert found.share.sum() == pytest.approx(1, rel=1e-12)


def test_the_mean_of_a_bin_is_over_occurrences():
    found = frequency_bins(np.array([8, 1, 1, 0, 4]), 2)
    assert found.bin_of.tolist() == [0, 1, 1, NO_BIN, 1]
    mean = found.mean(np.array([6.0, 10.0, 0.0, 7.0, 0.0]), np.array([3, 1, 1, 1, 0]))
    assert mean.tolist() == [2.0, 5.0]
    assert np.isnan(found.mean(np.zeros(5), np.array([0, 1, 1, 0, 0]))[0])


def test_no_bins_and_no_tokens_are_refused():
    with pytest.raises(ValueError, match=r"^bins=0: must be at least 1\.$"):
        frequency_bins(np.ones(3), 0)
    with pytest.raises(ValueError, match=r"^frequencies: no token occurs"):
        frequency_bins(np.zeros(3))


@pytest.mark.parametrize("bins", [1, 7, 10])
def test_occurrence_bins_hold_equal_parts_of_the_text(bins):
    counts = np.random.default_rng(0).permutation(np.round(1e6 * zipf_frequencies(5000, 0.8)))
    found = occurrence_bins(counts, bins)
    assert len(found.types) == bins
    np.testing.assert_array_equal(np.bincount(found.bin_of, minlength=bins), found.types)
    np.testing.assert_allclose(found.share, 1 / bins, atol=counts.max() / counts.sum())
    np.testing.assert_allclose(found.share, np.bincount(found.bin_of, counts, minlength=bins) / counts.sum())
    assert (np.diff(found.bin_of[np.argsort(-counts, kind="stable")]) >= 0).all()


def test_a_token_of_more_than_one_part_leaves_empty_bins():
    found = occurrence_bins(np.array([2, 16, 0, 1, 1]), 10)
    assert found.bin_of.tolist() == [8, 4, NO_BIN, 9, 9]
    assert found.types.tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 1, 2]
    assert np.isnan(found.mean_rank[0])
    assert np.isnan(found.mean(np.ones(5), np.ones(5, dtype=int))[5])


def test_the_mean_rank_is_geometric_and_weighted_with_occurrences():
    found = frequency_bins(np.array([8, 1, 1, 0, 4]), 2)
    assert found.mean_rank[0] == 1
    assert found.mean_rank[1] == pytest.approx((2**4 * 3 * 4) ** (1 / 6))
