"""Pooling over seeds: means, coverage at few seeds, and a lone run's own interval."""

import numpy as np
import pandas as pd
import pytest

from superdyn.analysis import pool_seeds
from superdyn.analysis.seeds import seed_interval


def frame(alphas: list[float], **columns) -> pd.DataFrame:
    table = pd.DataFrame({"alpha": alphas, "alpha_long": alphas, **columns})
    for name in ("alpha", "alpha_long"):
        table[f"{name}_low"], table[f"{name}_high"] = table[name] - 0.5, table[name] + 0.5
    return table


def test_groups_are_pooled_apart_and_missing_fits_left_out():
    pooled = pool_seeds(frame([1.0, 1.2, np.nan, 2.0], width=[8, 8, 8, 16]), by=["width"])
    assert pooled["alpha"].tolist() == pytest.approx([1.1, 2.0])
    assert pooled["n_seeds"].tolist() == [2, 1]


def test_a_lone_run_keeps_its_own_interval_and_none_gives_nan():
    pooled = pool_seeds(frame([2.0, np.nan], width=[8, 16]), by=["width"])
    assert pooled[["alpha_low", "alpha_high"]].iloc[0].tolist() == [1.5, 2.5]
    assert pooled[["alpha", "alpha_low"]].iloc[1].isna().all()


@pytest.mark.parametrize("n_seeds", [3, 5])
def test_interval_covers_the_mean_with_few_seeds(n_seeds):
    rng = np.random.default_rng(0)
    groups = 200
    table = frame((1 + 0.1 * rng.standard_normal(groups * n_seeds)).tolist(), group=np.arange(groups).repeat(n_seeds))
    pooled = pool_seeds(table, by=["group"])
    low, high = pooled["alpha_low"].to_numpy(), pooled["alpha_high"].to_numpy()
    assert 0.88 < np.mean((low <= 1) & (high >= 1)) < 0.99


def test_unknown_column_is_named():
    with pytest.raises(ValueError, match="by=\\['depth'\\] names \\['depth'\\]"):
        pool_seeds(frame([1.0]), by=["depth"])


def test_the_order_of_seeds_does_not_matter():
    values = np.random.default_rng(0).standard_normal(5)
    assert seed_interval(values) == seed_interval(values[::-1])
