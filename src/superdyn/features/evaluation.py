"""The fixed evaluation set of a run: samples x with importance weights w, keyed by the run's own seed.

Plain: x ~ p, w = 1. Balanced: the first half is plain, the second is drawn given that one feature is active,
with c_i samples for feature i. As p(x | x_i active) = p(x)·1[i active]/p_i, the set as a whole is drawn from
q = p·(S_plain + Σ_{i active} c_i/p_i)/S, so w = p/q = S/(S_plain + Σ_{i active} c_i/p_i) ≤ S/S_plain ≤ 2, and
E Σ_s w_s f(x_s) = S·E_p f exactly (balance heuristic, Veach & Guibas 1995). With c_i = S/(2N) this is
1/(1/2 + 1/2·(1/N) Σ_{i active} 1/p_i). Rare features, absent from a plain set, are measured. Axes `s`, `n`.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float64, Int64

from superdyn.config import RunConfig
from superdyn.features.generator import Stream, uniforms
from superdyn.features.sampler import Points, SparseSampler


class EvaluationSet(NamedTuple):
    """E f is estimated by Σ w f/n_measured, without bias for every f.

    Attributes:
        points: active cells of the samples; of sequences, row s·T + t is position t of sequence s.
        weights: of each sample; of sequences, of the output at each valid position, 0 where it is not measured.
        n_measured: samples, or positions, that are measured.
    """

    points: Points
    weights: Float64[np.ndarray, "s *v"]
    n_measured: int


def evaluation_set(config: RunConfig) -> EvaluationSet:
    """The samples on which a run is measured, `data.eval_size` of them, a function of the data and the seed.

    Raises:
        ValueError: `data.value_law` is not a value law.
    """
    data = config.data
    # Always the sparse sampler, so that runs which differ in data.sampler are measured on one set.
    sampler = SparseSampler(data, config.seed)
    points = sampler.points(Stream.EVAL, 0, data.eval_size)
    n_forced = data.eval_size // 2 if data.eval_sampling == "balanced" else 0
    forced = forced_points(sampler, data.eval_size - n_forced + np.arange(n_forced))
    merged = Points(*(np.concatenate(pair) for pair in zip(points, forced, strict=True)))
    active = merged.distinct(data.n_features)
    weights = importance_weights(active, forced.features, sampler.probabilities, data.eval_size)
    return EvaluationSet(active, weights, data.eval_size)


def forced_points(sampler: SparseSampler, rows: Int64[np.ndarray, "f"]) -> Points:
    """One active cell in each of these rows, spread so that the c_i differ by at most one."""
    n_forced = len(rows)
    features = (2 * np.arange(n_forced) + 1) * sampler.n_features // max(2 * n_forced, 1)
    u = uniforms(sampler.seed, Stream.EVAL, 0, 1, words=n_forced, tag="forced value")[0]
    return Points(rows, features, sampler.values(u))


def importance_weights(
    active: Points, forced: Int64[np.ndarray, "f"], p: Float64[np.ndarray, "n"], size: int
) -> Float64[np.ndarray, "s"]:
    """w = S/(S_plain + Σ_{i active} c_i/p_i) for each of S = `size` samples, (s,).

    Args:
        active: the active cells of the samples, one point a cell.
        forced: the feature that is forced in each of the S - S_plain forced samples.
        p: activation probabilities.
    """
    counts = np.bincount(forced, minlength=len(p))
    # A probability that underflows gives weight 0, the right limit: such a sample tells nothing about p.
    with np.errstate(divide="ignore", over="ignore"):
        share = counts[active.features] / p[active.features]
    density = np.bincount(active.rows, weights=share, minlength=size)
    return size / (size - len(forced) + density)
