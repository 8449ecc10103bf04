"""The fixed evaluation set of a run on sequences: `data.eval_size` sequences of independent samples, and weights.

Plain: every valid position t ≥ k (k = `data.lag`, P = T − k of them) is measured with weight 1. Balanced: half of the
sequences are plain; in each other one x_{t−k} is drawn given that one feature is active, the rest of the sequence is
plain, and only t is measured. With the S_plain·P + S_forced measured positions in the place of S the weights are those
of `evaluation.py`. The t of the forced sequences go round the valid positions from a start that is drawn, so that each
is uniform: Σ w f is without bias for any f of the sequence and t. Axes `s` sequence, `v` valid position.
"""

import numpy as np
from jaxtyping import Int64

from superdyn.config import RunConfig
from superdyn.features.evaluation import EvaluationSet, forced_points, importance_weights
from superdyn.features.generator import Stream, uniforms
from superdyn.features.sampler import Points, SparseSampler


def sequence_evaluation_set(config: RunConfig) -> EvaluationSet:
    """The sequences on which a run is measured, a function of the data and the seed."""
    data = config.data
    size, length, valid = data.eval_size, data.length, data.length - data.lag
    sampler = SparseSampler(data, config.seed)
    points = sampler.points(Stream.EVAL, 0, size * length)
    n_forced = size // 2 if data.eval_sampling == "balanced" else 0
    place = _forced_places(config.seed, n_forced, valid)
    sequence = size - n_forced + np.arange(n_forced)
    forced = forced_points(sampler, sequence * length + place)
    merged = Points(*(np.concatenate(pair) for pair in zip(points, forced, strict=True)))
    active = merged.distinct(data.n_features)
    measured = np.ones((size, valid), dtype=bool)
    measured[size - n_forced :] = False
    measured[sequence, place] = True
    weights, n_measured = np.zeros((size, valid)), int(measured.sum())
    targets = _of_targets(active, measured, length)
    weights[measured] = importance_weights(targets, forced.features, sampler.probabilities, n_measured)
    return EvaluationSet(active, weights, n_measured)


def _forced_places(seed: int, n_forced: int, valid: int) -> Int64[np.ndarray, "f"]:
    """Which of the valid positions is measured in each forced sequence."""
    start = int(uniforms(seed, Stream.EVAL, 0, 1, words=1, tag="measured position")[0, 0] * valid)
    return (start + np.arange(n_forced)) % valid


def _of_targets(active: Points, measured: np.ndarray, length: int) -> Points:
    """The active cells of what measured outputs are compared with, rows numbered by measured output.

    The output at valid position v is compared with the sample at position v of the sequence (t − k = v).
    """
    sequence, place = np.divmod(active.rows, length)
    inside = place < measured.shape[1]
    inside[inside] = measured[sequence[inside], place[inside]]
    number = np.cumsum(measured).reshape(measured.shape) - 1
    return Points(number[sequence[inside], place[inside]], active.features[inside], active.values[inside])
