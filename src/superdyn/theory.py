"""Exact learning curves and exponents of linear students on power-law features.

K = N, identity embedding:  ℓ_i(t) = ½ λ_i A_ii² e^{−2ηλ_i t}, or (1 − ηλ_i)^{2t} step by step; L = Σ ℓ_i.
Frozen embedding W:  L(t) = L_inf + ½ Σ_ij D_ij² / (g_i c_j) · e^{−2η g_i c_j t}, in the eigenbases of W Wᵀ
and W Λ Wᵀ. λ_i = p_i E[v²], p_i = min(1, E i^-a / Σ j^-a), A_ii = i^-b (Saxe, McClelland, Ganguli 2014; arXiv
2602.01045). Axis legend: `t` time, `n` feature, `k` hidden.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from superdyn.features.probabilities import feature_probabilities, importances

_RANK_TOLERANCE = 1e-12
"""Modes with g_i c_j below this fraction of the largest carry no signal (D vanishes there too) but would
divide by 0."""

_POINTS_PER_DECADE = 30
"""The measurement density of a run; the slope of a bent curve depends a little on it."""


def spectral_loss(
    steps: ArrayLike,
    *,
    n_features: int,
    data_exponent: float | int,
    importance_exponent: float | int,
    lr: float | int,
    density: float | int = 1.0,
    value_second_moment: float | int = 1.0,
    dynamics: Literal["gradient_descent", "gradient_flow"] = "gradient_descent",
    per_feature: bool = False,
) -> Float[np.ndarray, "t"] | Float[np.ndarray, "t n"]:
    """Loss of the student without superposition (K = N, W = I, B(0) = 0) that descends the population loss.

    Exact when the second-moment matrix is diagonal, that is for zero-mean values; otherwise an approximation
    that leaves out the means' products. `steps` (t,) are optimizer steps, or lr-times when `lr` is 1 and the
    dynamics gradient flow. Returns (t,), or (t, n) with `per_feature`.

    Raises:
        ValueError: `dynamics` is unknown, or gradient descent is unstable (lr λ_1 >= 2).
    """
    eigenvalues = value_second_moment * feature_probabilities(n_features, float(data_exponent), float(density))
    amplitudes = 0.5 * eigenvalues * importances(n_features, float(importance_exponent)) ** 2
    times = np.asarray(steps, dtype=np.float64)
    log_factor = _log_decay(lr * eigenvalues, dynamics)
    if per_feature:
        return amplitudes * np.exp(2.0 * np.multiply.outer(times, log_factor))
    # One time at a time, so that 10⁶ features never become a (t, n) array.
    return np.array([float(np.sum(amplitudes * np.exp(2.0 * time * log_factor))) for time in times])


def _log_decay(rates: Float[np.ndarray, "n"], dynamics: str) -> Float[np.ndarray, "n"]:
    """log of the factor by which each channel's error shrinks in one step; log1p keeps tiny rates."""
    if dynamics == "gradient_flow":
        return -rates
    if dynamics != "gradient_descent":
        raise ValueError(f"dynamics={dynamics!r} is unknown; allowed: 'gradient_descent', 'gradient_flow'")
    if rates.max() >= 2:
        raise ValueError(f"lr times the largest eigenvalue is {rates.max():.6g}; gradient descent needs less than 2")
    # |1 − r| = 1 − min(r, 2 − r). At r = 1 the logarithm is −∞; −1e300 gives 0 after any step, 1 after none.
    distance = np.minimum(rates, 2.0 - rates)
    return np.where(distance < 1, np.log1p(-np.where(distance < 1, distance, 0.0)), -1e300)


def frozen_embedding_loss(
    times: ArrayLike,
    encoder: Float[np.ndarray, "k n"],
    *,
    data_exponent: float | int,
    importance_exponent: float | int,
    lr: float | int,
    density: float | int = 1.0,
    value_second_moment: float | int = 1.0,
    dynamics: Literal["gradient_descent", "gradient_flow"] = "gradient_flow",
) -> Float[np.ndarray, "t"]:
    """Loss when B alone learns in y = Wᵀ B W x, with W frozen, tied and linear, B(0) = 0.

    B's dynamics is linear: mode (i, j) of the eigenbases of W Wᵀ and W Λ Wᵀ decays as e^{−lr g_i c_j t} under gradient
    flow and as (1 − lr g_i c_j)^t under gradient descent. `times` (t,) are steps; give lr = 1 to evaluate gradient flow
    at the lr-times of a scheduled run. Exact for a diagonal second moment.

    Raises:
        ValueError: unknown `dynamics`, or gradient descent with lr g_i c_j >= 2 for some mode.
    """
    weights = np.asarray(encoder, dtype=np.float64)
    n = weights.shape[1]
    moment = value_second_moment * feature_probabilities(n, float(data_exponent), float(density))
    teacher = importances(n, float(importance_exponent))
    g, u = np.linalg.eigh(weights @ weights.T)
    c, v = np.linalg.eigh((weights * moment) @ weights.T)
    drive = u.T @ ((weights * (teacher * moment)) @ weights.T) @ v
    rates = np.multiply.outer(g, c)
    alive = rates > _RANK_TOLERANCE * rates.max()
    solution = np.where(alive, drive / np.where(alive, rates, 1.0), 0.0)
    residual = weights.T @ (u @ solution @ v.T) @ weights - np.diag(teacher)
    # A sum of positive terms: L(0) − (what was learned) would cancel where the floor is near 0.
    floor = 0.5 * float(np.sum(residual**2 * moment))
    amplitudes = 0.5 * (drive * solution)[alive]
    decay = 2.0 * _log_decay(lr * rates[alive], dynamics)
    return np.array([floor + amplitudes @ np.exp(decay * t) for t in np.asarray(times, dtype=np.float64)])


def frozen_embedding_rate(encoder: Float[np.ndarray, "k n"], second_moment: Float[np.ndarray, "n"]) -> float:
    """g_max c_max, the rate of the fastest mode for these λ: gradient descent of `frozen_embedding_loss` needs an lr
    below 2 over it."""
    grams = encoder @ encoder.T, (encoder * second_moment) @ encoder.T
    return math.prod(float(np.linalg.eigvalsh(gram)[-1]) for gram in grams)


def sequential_exponent(a: float | int, b: float | int) -> float:
    """α_seq = (a + 2b − 1)/a, the exponent of the K = N spectral sum as N → ∞ (tail Σ_{i > i*} i^{−a−2b}, t ∝
    i*^a).

    Raises:
        ValueError: a + 2b <= 1, where the sum does not converge and there is no exponent.
    """
    return _tail_exponent(a, b) / a


def rich_exponent(a: float | int, b: float | int) -> float:
    """α_rich = (a + 2b − 1)/(a + b): embedding and core both learn, ds/dt ∝ λ_i s (A_ii − s), so t ∝
    i*^{a+b}.

    Raises:
        ValueError: a + 2b <= 1, as in `sequential_exponent`.
    """
    return _tail_exponent(a, b) / (a + b)


def _tail_exponent(a: float | int, b: float | int) -> float:
    if a <= 0:
        raise ValueError(f"data_exponent={a} gives no learning-time exponent; allowed: data_exponent > 0")
    if a + 2 * b <= 1:
        raise ValueError(
            f"data_exponent={a}, importance_exponent={b} leave the loss without a power-law tail; allowed: "
            f"data_exponent + 2 importance_exponent > 1 (here {a + 2 * b:.6g})"
        )
    return a + 2.0 * b - 1.0


def welch_bound(n_vectors: int, dimension: int) -> float:
    """Least possible largest |cos| among n unit vectors in R^k: sqrt((n − k)/(k (n − 1))), 0 when n <= k
    (Welch 1974)."""
    if n_vectors <= dimension:
        return 0.0
    return math.sqrt((n_vectors - dimension) / (dimension * (n_vectors - 1)))


def random_overlap(dimension: int) -> float:
    """E[cos²] = 1/k between independent random unit vectors of R^k: the null of the mean-square overlap."""
    return 1.0 / dimension


def decade_slopes(
    *,
    n_features: int,
    data_exponent: float | int,
    importance_exponent: float | int,
    first_decade: int = 1,
    n_decades: int = 3,
) -> Float[np.ndarray, "d"]:
    """Regression slope −dlog L/dlog t of the exact K = N curve in successive decades of η λ_1 t, from
    10^first_decade.

    Shows how far a finite N is from its asymptotic exponent: at a = 1.1, b = 0, N = 1024 (theory 0.091) it is
    0.38, 0.91 and 4.37, near 1 with no superposition at all. Returns (n_decades,).
    """
    first = float(feature_probabilities(n_features, float(data_exponent), 1.0)[0])
    log_times = np.log(10.0) * (first_decade + np.linspace(0, n_decades, n_decades * _POINTS_PER_DECADE + 1))
    loss = spectral_loss(
        np.exp(log_times) / first,
        n_features=n_features,
        data_exponent=data_exponent,
        importance_exponent=importance_exponent,
        lr=1.0,
        dynamics="gradient_flow",
    )
    spans = [slice(d * _POINTS_PER_DECADE, (d + 1) * _POINTS_PER_DECADE + 1) for d in range(n_decades)]
    return np.array([-np.polyfit(log_times[span], np.log(loss[span]), 1)[0] for span in spans])
