"""The counter-based generator: known answers, and independence from what was drawn before."""

import numpy as np
import pytest

from superdyn.features.generator import Stream, normals, uniforms

_MASK = 2**64 - 1


def philox_block(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox4x64-10 of Salmon et al. 2011 in plain integers: four words from a counter and a key."""
    c, (k0, k1) = [(counter >> (64 * i)) & _MASK for i in range(4)], key
    for _ in range(10):
        low, high = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [(high >> 64) ^ c[1] ^ k0, high & _MASK, (low >> 64) ^ c[3] ^ k1, low & _MASK]
        k0, k1 = (k0 + 0x9E3779B97F4A7C15) & _MASK, (k1 + 0xBB67AE8584CAA73B) & _MASK
    return c


def test_the_reference_gives_the_published_known_answer():
    published = [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]
    assert philox_block(0, (0, 0)) == published


@pytest.mark.parametrize("first", [0, 1, 7, 2**40, 2**63])
@pytest.mark.parametrize("words", [1, 4, 6])
def test_a_unit_owns_its_range_of_the_counter(first, words):
    blocks = -(-words // 4)
    drawn = uniforms(11, Stream.TRAIN, first, 2, words)
    for unit in range(2):
        start = (first + unit) * blocks
        raw = [w for b in range(blocks) for w in philox_block(start + b, (11, int(Stream.TRAIN)))][:words]
        assert drawn[unit].tolist() == [(w >> 11) * 2.0**-53 for w in raw]


def test_units_are_the_same_one_by_one_and_in_one_call():
    together = uniforms(5, Stream.EVAL, 3, 9, 10)
    alone = [uniforms(5, Stream.EVAL, 3 + i, 1, 10)[0] for i in range(9)]
    np.testing.assert_array_equal(together, alone)


def test_seeds_streams_and_tags_give_unrelated_numbers():
    draws = [
        uniforms(seed, stream, 0, 1000, 4, tag).ravel()
        for seed in (0, 1, 2**63 - 1)
        for stream in Stream
        for tag in ("", "core")
    ]
    correlation = np.corrcoef(draws) - np.eye(len(draws))
    assert np.abs(correlation).max() * np.sqrt(4000) < 4.5


def test_uniforms_have_the_moments_of_a_uniform():
    u = uniforms(0, Stream.TRAIN, 0, 50_000, 4)
    assert abs(u.mean() - 0.5) < 4.5 * np.sqrt(1 / 12 / u.size)
    assert (u >= 0).all()
    assert (u < 1).all()


def test_normals_depend_on_seed_and_tag_alone():
    first = normals(7, (3, 5), "encoder")
    np.testing.assert_array_equal(normals(7, (3, 5), "encoder"), first)
    assert not np.array_equal(normals(7, (3, 5), "core"), first)
    assert not np.array_equal(normals(8, (3, 5), "encoder"), first)
    many = normals(7, (100_000,), "encoder")
    assert abs(many.mean()) < 4.5 / np.sqrt(many.size)
    assert abs(many.var() - 1) < 4.5 * np.sqrt(2 / many.size)
