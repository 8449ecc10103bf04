"""A draw is a function of (seed, stream, step, sample), bit for bit, however it is cut."""

import numpy as np
import pytest

from superdyn.features.generator import Stream
from superdyn.features.sampler import DenseSampler, SparseSampler, make_sampler
from superdyn.features.values import VALUE_LAWS

KINDS = {"dense": DenseSampler, "sparse": SparseSampler}


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    return request.param


@pytest.mark.parametrize("law", VALUE_LAWS)
@pytest.mark.parametrize("batch_size", [1, 50, 64, 96])
def test_a_step_drawn_alone_is_the_step_inside_a_chunk(data_config, kind, law, batch_size):
    sampler = make_sampler(data_config(sampler=kind, value_law=law, batch_size=batch_size, density=1.4), 5)
    chunk = sampler.draw(Stream.TRAIN, 2, 7)
    for step in range(7):
        assert sampler.draw(Stream.TRAIN, 2 + step, 1).tobytes() == chunk[step].tobytes()


@pytest.mark.parametrize("density", [1.0, 9.0])
def test_slices_of_the_batch_concatenate_to_the_batch(data_config, kind, density):
    sampler = make_sampler(data_config(sampler=kind, batch_size=72, density=density), 5)
    whole = sampler.draw(Stream.TRAIN, 3, 4)
    parts = [sampler.draw(Stream.TRAIN, 3, 4, slice(i, i + 18)) for i in range(0, 72, 18)]
    assert np.concatenate(parts, axis=1).tobytes() == whole.tobytes()
    one = sampler.draw(Stream.TRAIN, 5, 1, slice(41, 42))
    assert one[0, 0].tobytes() == whole[2, 41].tobytes()


def test_double_precision_rounds_to_the_single_precision_draw(data_config, kind):
    sampler = make_sampler(data_config(sampler=kind), 1)
    double = sampler.draw(Stream.TRAIN, 0, 8, dtype=np.float64)
    np.testing.assert_array_equal(double.astype(np.float32), sampler.draw(Stream.TRAIN, 0, 8))


def test_seeds_and_streams_differ(data_config, kind):
    first = make_sampler(data_config(sampler=kind), 1)
    draws = {first.draw(stream, 0, 4).tobytes() for stream in (Stream.TRAIN, Stream.EVAL)}
    draws.add(make_sampler(data_config(sampler=kind), 2).draw(Stream.TRAIN, 0, 4).tobytes())
    assert len(draws) == 3


@pytest.mark.parametrize("density", [1.0, 12.0])
def test_the_index_form_holds_the_cells_of_the_dense_array(data_config, kind, density):
    data = data_config(sampler=kind, density=density, data_exponent=0.1)
    sampler = make_sampler(data, 3)
    points = sampler.points(Stream.TRAIN, 5 * 32, 4 * 32).distinct(16)
    x = np.zeros((4 * 32, 16))
    x[points.rows, points.features] = points.values
    np.testing.assert_array_equal(x, sampler.draw(Stream.TRAIN, 5, 4, dtype=np.float64).reshape(-1, 16))
    assert len(np.unique(points.rows * 16 + points.features)) == len(points.rows)


def test_points_that_share_a_cell_collapse_to_the_last(data_config):
    points = SparseSampler(data_config(density=12.0, data_exponent=0.1), 3).points(Stream.TRAIN, 0, 64)
    last = {(row, feature): value for row, feature, value in zip(*(array.tolist() for array in points), strict=True)}
    distinct = points.distinct(16)
    assert len(last) < len(points.rows)
    cells = zip(distinct.rows.tolist(), distinct.features.tolist(), strict=True)
    assert dict(zip(cells, distinct.values.tolist(), strict=True)) == last


def test_a_probability_that_underflows_is_never_active(data_config, kind):
    sampler = make_sampler(data_config(sampler=kind, data_exponent=400.0, density=0.5), 1)
    assert sampler.probabilities[-1] == 0.0
    assert not sampler.draw(Stream.TRAIN, 0, 50)[..., 1:].any()
