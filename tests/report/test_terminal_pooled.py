"""The pooled table of a terminal shows every condition with several seeds, and only then."""

from pathlib import Path

from rich.console import Console
from synthetic_sweep import Plan, write_sweep

from superdyn.report.terminal_pooled import pooled_rows


def test_conditions_with_several_seeds_are_pooled(sweep: Path):
    table = pooled_rows(sweep)
    assert table is not None
    console = Console(width=200)
    with console.capture() as shown:
        console.print(table)
    assert "α long window" in shown.get()
    assert "exponents of L;" in shown.get()
    assert table.row_count > 1


def test_a_sweep_of_one_seed_has_nothing_to_pool(tmp_path: Path):
    plan = Plan(pairs=((2.0, 0.0),), n_seeds=1, n_features=32, max_steps=500, models=("no_superposition",))
    assert pooled_rows(write_sweep(tmp_path, plan)) is None
