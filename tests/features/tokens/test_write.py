"""Shards and their manifest: sizes, documents, sums, and nothing half written."""

import hashlib
import json

import numpy as np
import pytest

from superdyn.features.tokens.corpus import TokenCorpus
from superdyn.features.tokens.formats import FORMATS, open_tokens
from superdyn.features.tokens.write import ShardWriter

DOCUMENTS = [np.arange(10), np.arange(0), np.arange(25), np.arange(3)]
SEPARATOR = 99


def write(folder, format="headered", shard_tokens=16):
    writer = ShardWriter(folder, format, 100, "numbers", SEPARATOR, shard_tokens)
    for ids in DOCUMENTS:
        writer.add(ids[:4], ends=False)
        writer.add(ids[4:])
    return writer.close()


@pytest.mark.parametrize("format", FORMATS)
def test_documents_follow_each_other_over_the_shards(format, tmp_path):
    manifest = write(tmp_path, format)
    expected = np.concatenate([np.append(ids, SEPARATOR) for ids in DOCUMENTS])
    assert [shard.tokens for shard in manifest.shards] == [16, 16, 10]
    assert (manifest.tokens, manifest.documents) == (42, 4)
    np.testing.assert_array_equal(TokenCorpus(tmp_path, 100).read(0, 42), expected)


def test_a_document_that_a_shard_cuts_is_two_in_the_index(tmp_path):
    write(tmp_path, "megatron")
    lengths = [open_tokens(path).lengths for path in sorted(tmp_path.glob("*.bin"))]
    assert [each.tolist() for each in lengths if each is not None] == [[11, 1, 4], [16], [6, 4]]


def test_the_manifest_describes_the_files(tmp_path):
    write(tmp_path, "megatron")
    manifest = json.loads((tmp_path / "tokens.json").read_text())
    assert {key: manifest[key] for key in ("format", "dtype", "vocabulary_size", "tokenizer", "separator")} == {
        "format": "megatron", "dtype": "uint16", "vocabulary_size": 100, "tokenizer": "numbers", "separator": 99,
    }  # fmt: skip
    for shard in manifest["shards"]:
        path = tmp_path / shard["file"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == shard["sha256"]
        assert hashlib.sha256(path.with_suffix(".idx").read_bytes()).hexdigest() == shard["index_sha256"]
    assert len(list(tmp_path.iterdir())) == 7


def test_a_folder_that_holds_something_is_refused(tmp_path):
    write(tmp_path / "out")
    with pytest.raises(ValueError, match=r"out: holds files already; shards go to a new or empty folder\.$"):
        write(tmp_path / "out")


def test_a_stopped_writer_leaves_whole_shards_and_no_manifest(tmp_path):
    writer = ShardWriter(tmp_path, "headered", 100, "numbers", shard_tokens=16)
    writer.add(np.arange(40))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokens_000000.bin", "tokens_000001.bin"]
    assert len(TokenCorpus(tmp_path, 100)) == 32


def test_an_id_beyond_the_vocabulary_is_refused(tmp_path):
    writer = ShardWriter(tmp_path, "headered", 100, "numbers")
    writer.add(np.array([1, 100]))
    with pytest.raises(ValueError, match=r"token 1 has id 100; a vocabulary of 100 allows ids 0 to 99\.$"):
        writer.close()
    with pytest.raises(ValueError, match="id 65536 does not fit uint16"):
        writer.add(np.array([65_536]))


def test_nothing_to_write_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no tokens"):
        ShardWriter(tmp_path, "headered", 100, "numbers").close()
    with pytest.raises(ValueError, match=r"^shard_tokens=0: must be at least 1"):
        ShardWriter(tmp_path, "headered", 100, "numbers", shard_tokens=0)


def test_a_damaged_manifest_is_named(tmp_path):
    write(tmp_path)
    for content in ("{", "[]", '{"format": "raw"}', '{"colour": "red"}'):
        (tmp_path / "tokens.json").write_text(content)
        with pytest.raises(ValueError, match=r"tokens\.json: cannot be read as a manifest of shards \("):
            TokenCorpus(tmp_path, 100)
