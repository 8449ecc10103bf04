"""The time of the grid of autoencoders: the packs are those of the experiment, and its steps are counted."""

import pytest

from superdyn.bench import grid
from superdyn.bench.rivals.pack import Pack
from superdyn.bench.table import table
from superdyn.bench.timing import Job, rates


def test_a_pack_holds_every_decay_and_exponent_of_the_full_grid():
    configs = grid.pack_of("full", 10, "cpu")
    assert len({(c.optimizer.weight_decay, c.data.data_exponent) for c in configs}) == len(configs) == 90
    assert {(c.data.n_features, c.data.batch_size, c.model.width) for c in configs} == {(1000, 2048, 10)}
    assert len({c.pack_key() for c in configs}) == 1


def test_minutes_are_those_of_steps_that_grow_evenly_with_the_width():
    rates = {4: 2 / 2.0, 16: 2 / 8.0}  # run-steps per second of two members
    found = grid.whole_grid(rates, "smoke")
    assert found["widths"] == [4, 8, 16]
    assert found["members"] == len(grid.pack_of("smoke", 4, "cpu"))
    scale = found["members"] / 2
    assert found["minutes"] == pytest.approx(scale * (2.0 + 4.0 + 8.0) * 3000 / 60)


def test_the_table_says_how_long_the_grid_takes():
    def measured(rate):
        spread = {"median": rate, "min": rate / 2, "max": rate, "n": 5}
        return {"superdyn": {"run_steps_per_s": spread, "cold_start_s": 1.0, "peak_memory_mib": 2.0}}

    entries = [
        {"workload": {"grid_width": width}, "results": measured(90 / seconds)} for width, seconds in ((10, 2), (100, 8))
    ]
    drawn = table({"command": "c", "hardware": "h", "versions": "v", "comparisons": entries})
    assert "90 autoencoders of width 10 take 2000.00 (2000.00–4000.00) ms a step" in drawn
    assert "20,000 steps of all 6 widths take " in drawn


def test_a_pack_is_trained_and_timed():
    workload = grid.GridWorkload(4, "smoke")
    pack = Pack(workload, "cpu")
    pack.steps_only(2)
    assert all(rate > 0 for rate in rates(Job(pack.steps_only, float(workload.runs)), 1, 0.0, 2))
