"""A judge: from the finished runs of an experiment, a row per run of `load_sweep`, to lines of the claim table."""

import pandas as pd

from superdyn.analysis import load_spectrum, seed_interval
from superdyn.analysis.claims.row import ClaimRow, finding
from superdyn.config import ClaimConfig


def interference_grows(name: str, claim: ClaimConfig, frame: pd.DataFrame) -> list[ClaimRow]:
    """Mean interference at the end, at the largest rank less at the smallest, seed by seed."""
    last = [load_spectrum(path, "interference")[1][-1].mean() for path in frame["path"]]
    by_seed = frame.assign(last=last).pivot_table(index="seed", columns="model.options.rank", values="last")
    difference = (by_seed[by_seed.columns.max()] - by_seed[by_seed.columns.min()]).dropna().to_numpy()
    low, high = seed_interval(difference)
    mean = float(difference.mean())
    return [finding(name, "difference of mean interference", "rank 8 less rank 2", mean, held=low > claim.expected,
                    expected=claim.expected, low=low, high=high)]  # fmt: skip
