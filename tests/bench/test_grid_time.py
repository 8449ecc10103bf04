"""The time of the grid of autoencoders: the packs are those of the experiment, and its steps are counted."""

import pytest

from superdyn.bench import grid
from superdyn.bench.table import table


def test_a_pack_holds_every_decay_and_exponent_of_the_full_grid():
    configs = grid.pack_of("full", 10, "cpu")
    assert len({(c.optimizer.weight_decay, c.data.data_exponent) for c in configs}) == len(configs) == 90
    assert {(c.data.n_features, c.data.batch_size, c.model.width) for c in configs} == {(1000, 2048, 10)}
    assert len({c.pack_key() for c in configs}) == 1


def test_minutes_are_those_of_steps_that_grow_evenly_with_the_width(monkeypatch):
    taken = {4: [2.0, 1.0, 3.0], 16: [8.0, 8.0, 8.0]}
    monkeypatch.setattr(grid, "_step_seconds", lambda configs, *_: taken[configs[0].model.width])
    found = grid.grid_steps("cpu", "smoke")
    assert found["widths"] == [4, 8, 16]
    assert found["minutes"] == pytest.approx((2.0 + 4.0 + 8.0) * 3000 / 60)
    record = {"command": "c", "hardware": "h", "versions": "v", "comparisons": [], "grid": found}
    assert "takes 2000.00 (1000.00–3000.00) ms at width 4 and 8000.00" in table(record)


def test_a_pack_is_trained_and_timed():
    configs = grid.pack_of("smoke", 4, "cpu")
    assert all(seconds > 0 for seconds in grid._step_seconds(configs, "cpu", steps=2, repetitions=2))
