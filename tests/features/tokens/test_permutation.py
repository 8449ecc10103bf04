"""A stateless order: a bijection, different every epoch, and without a visible pattern."""

import numpy as np
import pytest

from superdyn.features.tokens.permutation import permuted


@pytest.mark.parametrize("size", [*range(1, 40), 99, 100, 101, 10_000, 65_537])
def test_every_place_is_taken_once(size):
    for seed, epoch in ((0, 0), (2**64 - 1, 3)):
        assert sorted(permuted(np.arange(size), size, seed, epoch)) == list(range(size))


def test_a_place_is_found_alone_as_among_others():
    places = np.arange(1000)
    together = permuted(places, 1000, 5, 2)
    assert [int(permuted(places[i : i + 1], 1000, 5, 2)[0]) for i in range(0, 1000, 37)] == together[::37].tolist()


def test_seeds_and_epochs_give_other_orders():
    places = np.arange(500)
    orders = [permuted(places, 500, seed, epoch) for seed in range(3) for epoch in range(3)]
    correlation = np.corrcoef(orders) - np.eye(9)
    assert np.abs(correlation).max() * np.sqrt(500) < 4.5


@pytest.mark.parametrize("size", [2, 3, 10])
def test_over_epochs_a_place_goes_everywhere_equally_often(size):
    epochs = 800
    went = np.array([permuted(np.arange(size), size, 1, epoch) for epoch in range(epochs)])
    for place in range(size):
        counts = np.bincount(went[:, place], minlength=size)
        z = (counts - epochs / size) / np.sqrt(epochs / size * (1 - 1 / size))
        assert np.abs(z).max() < 4.5


def test_neighbours_are_torn_apart():
    order = permuted(np.arange(100_000), 100_000, 0, 0)
    assert abs(np.corrcoef(order[:-1], order[1:])[0, 1]) * np.sqrt(100_000) < 4.5
    assert abs(np.corrcoef(np.arange(100_000), order)[0, 1]) * np.sqrt(100_000) < 4.5


def test_sizes_beyond_32_bits_work():
    size = 10**15 + 7
    places = np.array([0, 1, size - 1, 12_345_678_901])
    found = permuted(places, size, 0, 0)
    assert ((found >= 0) & (found < size)).all()
    assert len(set(found.tolist())) == 4
