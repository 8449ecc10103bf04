"""Exponents over seeds: each run is fitted by itself, then the mean is bootstrapped over the seeds.

With n seeds the plain percentile interval is too narrow; its deviations are widened by √(n/(n−1)) and by the
ratio of Student's to the normal quantile, so that it covers 95 % for normal scatter also at 3 to 5 seeds.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import norm, t

from superdyn.runs.record import LEAST_LOSS

EXPONENTS = ("alpha", "alpha_long")
_REPLICATES, _COVERAGE = 4000, 0.975


def pool_seeds(frame: pd.DataFrame, by: list[str], *, seed: int = 0) -> pd.DataFrame:
    """One row per combination of `by` in a `load_sweep` frame.

    Columns: `by`, `n_seeds` (runs with an α), and for α and α_long the mean, `*_low`, `*_high` and `n_*`. A
    single run keeps the interval of its own fit. Exponents of L and of L − L_least have no mean: NaN where the seeds,
    some trained before the least loss was recorded, have both.

    Raises:
        ValueError: a name in `by` is not a column.
    """
    missing = [name for name in by if name not in frame]
    if missing or not by:
        raise ValueError(f"by={by} names {missing or 'nothing'}; allowed: columns of the sweep table")
    rows = []
    for key, group in frame.groupby(by, dropna=False, sort=True):
        if _of_two_losses(group):
            group = group.assign(**dict.fromkeys(EXPONENTS, np.nan))
        row = dict(zip(by, key if isinstance(key, tuple) else (key,), strict=True))
        row["n_seeds"] = np.count_nonzero(group["alpha"].notna())
        for name in EXPONENTS:
            row |= _pooled(group, name, seed)
        rows.append(row)
    return pd.DataFrame(rows)


def _of_two_losses(group: pd.DataFrame) -> bool:
    known = group.loc[group["alpha"].notna(), LEAST_LOSS].notna() if LEAST_LOSS in group else pd.Series(dtype=bool)
    return bool(known.any() and not known.all())


def _pooled(group: pd.DataFrame, name: str, seed: int) -> dict[str, float]:
    ends = [f"{name}_low", f"{name}_high"]
    measured = group[[name, *ends]].to_numpy(np.float64)
    measured = measured[~np.isnan(measured[:, 0])]
    values = measured[:, 0]
    mean, low, high = np.nan, np.nan, np.nan
    if values.size == 1:
        mean, low, high = (float(v) for v in measured[0])
    elif values.size > 1:
        mean = values.mean()
        low, high = seed_interval(values, seed)
    return {name: mean, f"{name}_low": low, f"{name}_high": high, f"n_{name}": values.size}


def seed_interval(values: Float[np.ndarray, "s"], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the mean of a number that was measured once per seed; NaN for fewer than two.

    The order of the values, which is that of folder names, does not matter.
    """
    n = values.size
    if n < 2:
        return np.nan, np.nan
    values = np.sort(values)
    drawn = np.random.default_rng(seed).choice(values, size=(_REPLICATES, n)).mean(axis=1) - values.mean()
    widening = np.sqrt(n / (n - 1)) * t.ppf(_COVERAGE, n - 1) / norm.ppf(_COVERAGE)
    low, high = np.quantile(drawn, (1 - _COVERAGE, _COVERAGE)) * widening
    return float(values.mean() + low), float(values.mean() + high)
