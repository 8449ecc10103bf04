"""Three formats, all called .bin: told apart by content, and refused in one sentence when something is wrong."""

import numpy as np
import pytest

from superdyn.features.tokens.formats import FORMATS, open_tokens, storage_type
from superdyn.features.tokens.token_file import check_ids
from superdyn.features.tokens.write import write_shard

VOCABULARY = {"headered": [1000, 65_536, 65_537, 128_256], "raw": [1000, 65_536], "megatron": [1000, 65_499, 65_500]}
CASES = [(format, size) for format in FORMATS for size in VOCABULARY[format]]


def random_ids(vocabulary_size, count=300, seed=0):
    ids = np.random.default_rng(seed).integers(0, vocabulary_size, count)
    ids[7] = vocabulary_size - 1
    return ids


@pytest.fixture(params=CASES, ids=lambda case: f"{case[0]}-{case[1]}")
def written(request, tmp_path):
    """(path, format, vocabulary size, ids) of a shard of 300 tokens in documents of 100, 0 and 200."""
    format, vocabulary_size = request.param
    ids, path = random_ids(vocabulary_size), tmp_path / "tokens.bin"
    write_shard(path, format, vocabulary_size, ids, [100, 0, 200])
    return path, format, vocabulary_size, ids


def test_what_is_written_is_found_out_and_read_back(written):
    path, format, vocabulary_size, ids = written
    file = open_tokens(path)
    assert (file.format, file.dtype) == (format, storage_type(format, vocabulary_size))
    assert isinstance(file.tokens, np.memmap)
    np.testing.assert_array_equal(file.tokens, ids)
    check_ids(file, vocabulary_size)
    if format == "megatron":
        assert file.lengths is not None
        assert file.lengths.tolist() == [100, 0, 200]
        np.testing.assert_array_equal(open_tokens(path.with_suffix(".idx")).tokens, ids)


def test_a_file_that_was_cut_short_is_refused(written):
    path, format, *_ = written
    content = path.read_bytes()
    # Raw files say nothing about their length; whole tokens less are found out with the manifest (test_write.py).
    for cut in (1,) if format == "raw" else (1, 100, len(content) - 4):
        path.write_bytes(content[:-cut])
        with pytest.raises(ValueError, match=rf"^{path}: .*cut short"):
            open_tokens(path)


def test_a_file_that_is_too_long_is_refused(written):
    path, format, *_ = written
    path.write_bytes(path.read_bytes() + b"\0\0\0\0")
    if format != "raw":
        with pytest.raises(ValueError, match=rf"^{path}: .*300 tokens"):
            open_tokens(path)


def test_an_id_beyond_the_vocabulary_is_named(written):
    path, _, vocabulary_size, _ = written
    with pytest.raises(ValueError, match=rf"^{path}: token \d+ has id \d+; .* 0 to {vocabulary_size // 2 - 1}\.$"):
        check_ids(open_tokens(path), vocabulary_size // 2)


def test_an_index_that_was_cut_short_or_damaged_is_refused(tmp_path):
    path, index = tmp_path / "t.bin", tmp_path / "t.idx"
    write_shard(path, "megatron", 1000, random_ids(1000), [100, 200])
    content = index.read_bytes()
    at = {"version": 9, "type": 17, "offsets": 34 + 8 + 8, "bounds": 34 + 24 + 16}
    damaged = {name: content[:place] + b"\7" + content[place + 1 :] for name, place in at.items()}
    cases = {
        "cut short": content[:-1],
        "do not hold its counts": content[:20],
        "no Megatron index": b"JUNK" + content,
        "TNTIDX": b"TNTIDX\0\0" + content,
        "version 7": damaged["version"],
        "type code 7": damaged["type"],
        "byte offsets": damaged["offsets"],
        "document bounds": damaged["bounds"],
    }
    for reason, bytes_ in cases.items():
        index.write_bytes(bytes_)
        with pytest.raises(ValueError, match=rf"^{index}: .*{reason}"):
            open_tokens(path)


def test_a_multimodal_index_is_read(tmp_path):
    path, index = tmp_path / "t.bin", tmp_path / "t.idx"
    write_shard(path, "megatron", 1000, random_ids(1000), [100, 200])
    index.write_bytes(index.read_bytes() + b"\0\1")
    assert len(open_tokens(path).tokens) == 300


def test_files_of_other_kinds_are_refused_by_name(tmp_path):
    np.save(tmp_path / "array.npy", np.arange(10))
    ids = random_ids(60_000)
    write_shard(tmp_path / "pair.bin", "megatron", 1000, random_ids(1000))
    evaluation = np.zeros(600, dtype="<i4")
    evaluation[:2] = 20240522, 1
    version = np.zeros(256, dtype="<i4")
    version[:2] = 20240520, 2
    cases = {
        "NumPy": (tmp_path / "array.npy").read_bytes(),
        "text": "Beautiful is better than ugly. Ça va ? ".encode() * 200,
        "32-bit": ids.astype("<u4").tobytes(),
        "Megatron index": (tmp_path / "pair.idx").read_bytes(),
        "evaluation file": evaluation.tobytes(),
        "version 2": version.tobytes(),
        "header alone": version.tobytes()[:500],
        "no tokens": b"",
    }
    for reason, content in cases.items():
        path = tmp_path / "tokens.bin"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"^{path}: .*{reason}"):
            open_tokens(path)


def test_text_cut_within_a_character_is_still_text(tmp_path):
    path = tmp_path / "tokens.bin"
    for shift in range(4):
        path.write_bytes(b"a" * shift + "é€".encode() * 2000)
        with pytest.raises(ValueError, match="text"):
            open_tokens(path)


def test_small_ids_are_not_taken_for_text_or_for_32_bits(tmp_path):
    for ids in (np.full(200, ord("a")), np.arange(200) % 4, np.tile([255, 0], 100)):
        write_shard(tmp_path / "t.bin", "raw", 256, ids)
        np.testing.assert_array_equal(open_tokens(tmp_path / "t.bin").tokens, ids)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.bin: no such file"):
        open_tokens(tmp_path / "none.bin")


def test_a_vocabulary_beyond_uint16_needs_another_format():
    assert storage_type("headered", 65_536) == np.uint16
    assert storage_type("headered", 65_537) == np.uint32
    with pytest.raises(ValueError, match=r"^format=raw: .*65536.*65537; use headered or megatron"):
        storage_type("raw", 65_537)
    with pytest.raises(ValueError, match=r"^format='npy': unknown; allowed are headered, raw, megatron"):
        storage_type("npy", 10)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("wrong", [65_536, -1, 1000])
def test_an_id_that_would_wrap_is_refused_and_nothing_is_written(format, wrong, tmp_path):
    ids = random_ids(1000)
    ids[3] = wrong
    with pytest.raises(ValueError, match=str(wrong)):
        write_shard(tmp_path / "t.bin", format, 1000, ids)
    assert not list(tmp_path.iterdir())
