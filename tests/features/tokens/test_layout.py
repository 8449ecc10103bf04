"""The bytes are those of the published layouts, put together here by hand."""

import struct

import numpy as np

from superdyn.features.tokens.formats import open_tokens
from superdyn.features.tokens.write import write_shard

IDS = np.array([5, 0, 999, 7, 7], dtype=np.int64)


def test_a_headered_shard_of_16_bits(tmp_path):
    expected = struct.pack("<256i", 20240520, 1, 5, *[0] * 253) + struct.pack("<5H", *IDS)
    write_shard(tmp_path / "t.bin", "headered", 1000, IDS)
    assert (tmp_path / "t.bin").read_bytes() == expected


def test_a_headered_shard_of_32_bits(tmp_path):
    expected = struct.pack("<256i", 20240801, 7, 5, *[0] * 253) + struct.pack("<5I", *IDS)
    write_shard(tmp_path / "t.bin", "headered", 128_256, IDS)
    assert (tmp_path / "t.bin").read_bytes() == expected


def test_a_raw_shard(tmp_path):
    write_shard(tmp_path / "t.bin", "raw", 1000, IDS)
    assert (tmp_path / "t.bin").read_bytes() == struct.pack("<5H", *IDS)


def test_a_megatron_pair(tmp_path):
    write_shard(tmp_path / "t.bin", "megatron", 100_000, IDS, [2, 3])
    assert (tmp_path / "t.bin").read_bytes() == struct.pack("<5i", *IDS)
    expected = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 4, 2, 3) + struct.pack("<2i2q3q", 2, 3, 0, 8, 0, 1, 2)
    assert (tmp_path / "t.idx").read_bytes() == expected


def test_a_megatron_pair_with_several_sequences_in_a_document(tmp_path):
    (tmp_path / "t.bin").write_bytes(struct.pack("<5H", *IDS))
    header = b"MMIDIDX\0\0" + struct.pack("<QBQQ", 1, 8, 3, 3)
    (tmp_path / "t.idx").write_bytes(header + struct.pack("<3i", 1, 1, 3) + struct.pack("<6q", 0, 2, 4, 0, 2, 3))
    file = open_tokens(tmp_path / "t.bin")
    assert file.tokens.tolist() == IDS.tolist()
    assert file.lengths is not None
    assert file.lengths.tolist() == [2, 3]
