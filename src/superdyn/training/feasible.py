"""Whether a configuration can train as asked, judged from the exact moments of its features.

Exact descent on a linear student is linear in the hidden matrix B and stable for η λ < 2, where λ is the largest
eigenvalue of its curvature: λ_max(Σ) for K = N with the identity embedding, g_max c_max with a frozen embedding
(G = W_d W_dᵀ, M = W_e Σ W_eᵀ). A bias is a feature that is always 1 with a channel of its own, and where values have a
mean its error feeds the others. Source: arXiv 2602.01045, ds_i/dt = η λ_i (A_ii − s_i).
"""

import numpy as np
import torch
from jaxtyping import Float

from superdyn.config import ConfigError, RunConfig
from superdyn.features.device_draws import trains_on_gpu
from superdyn.features.device_quantiles import device_quantile
from superdyn.features.moments import Moments, data_moments, top_eigenvalue
from superdyn.features.probabilities import density_limit, feature_probabilities
from superdyn.models.embedding import initial_embedding
from superdyn.training.own_code import check_own_code
from superdyn.training.token_feasible import check_tokens_feasible


def check_feasible(config: RunConfig) -> None:
    """Refuse what cannot train.

    Raises:
        ConfigError: the device is not there, code of the user's own cannot be found or does not do what it must
            (`training/own_code.py`), the density cannot be met, exact descent would diverge, or tokens and language
            model are not as `training/token_feasible.py` needs them.
    """
    _check_device(config)
    check_own_code(config)
    if config.data.kind == "tokens":
        check_tokens_feasible(config)
        return
    device_quantile(config.data.value_law)
    _check_density(config)
    _check_descent(config, data_moments(config.data))


def _check_device(config: RunConfig) -> None:
    trainer = config.trainer
    if not config.launcher.trains_here:  # on a login node, say, whose devices are not those of the jobs
        return
    if trainer.accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise ConfigError("trainer.accelerator=gpu: torch sees no GPU here; allowed are cpu and auto.")
    if trains_on_gpu(trainer) and trainer.devices > torch.cuda.device_count():
        raise ConfigError(
            f"trainer.devices={trainer.devices}: this machine has {torch.cuda.device_count()} GPUs; at most as many "
            f"are allowed, or more ranks on CPUs with trainer.accelerator=cpu."
        )


def _check_density(config: RunConfig) -> None:
    data = config.data
    limit = density_limit(data.n_features, data.data_exponent)
    if data.density > limit and not data.clip:
        reached = float(feature_probabilities(data.n_features, data.data_exponent, data.density).sum())
        raise ConfigError(
            f"data.density={data.density}: the most frequent feature would be active with probability "
            f"{data.density / limit:.3g} > 1; at most {limit:.4g} is allowed for data.n_features={data.n_features} and "
            f"data.data_exponent={data.data_exponent}, or set data.clip=true to cap probabilities at 1, which leaves "
            f"a density of {reached:.4g}."
        )


def _check_descent(config: RunConfig, moments: Moments) -> None:
    plain = config.optimizer.name == "sgd" and config.optimizer.momentum == 0
    trains_core_only = not config.model.train_encoder and config.model.core == "trained"
    if config.loss != "population" or config.solver != "steps" or not plain or not trains_core_only:
        return
    if config.start.run is not None:  # whose embedding is not the initial one
        return
    curvature = _curvature(config, moments)
    if config.optimizer.lr * curvature >= 2:
        raise ConfigError(
            f"optimizer.lr={config.optimizer.lr}: exact gradient descent diverges, because η λ = "
            f"{config.optimizer.lr * curvature:.3g} and must stay below 2; allowed are values below "
            f"{2 / curvature:.4g}."
        )


def _curvature(config: RunConfig, moments: Moments) -> float:
    mean, variance = moments.mean, moments.variance
    fed = config.model.bias and bool(mean.any())  # else a bias that starts at 0 stays there
    if fed:
        mean, variance = np.append(mean, 1.0), np.append(variance, 0.0)
    if config.model.encoder_init == "identity":
        return top_eigenvalue(variance, mean)
    encoder = _embedding(config, "encoder")
    decoder = encoder if config.model.tied else _embedding(config, "decoder")
    # Along W_d's largest singular direction x̃ ↦ (√g_max W_e x, 1) is what B and c multiply.
    reached = np.sqrt(_top(decoder @ decoder.T)) * encoder
    if fed:
        reached = np.pad(reached, ((0, 1), (0, 1)))
        reached[-1, -1] = 1.0
    shift = reached @ mean
    return _top((reached * variance) @ reached.T + np.outer(shift, shift))


def _embedding(config: RunConfig, tag: str) -> Float[np.ndarray, "k n"]:
    model = config.model
    return initial_embedding(config.seed, model.encoder_init, model.width, config.data.n_features, tag)


def _top(matrix: Float[np.ndarray, "k k"]) -> float:
    return float(np.linalg.eigvalsh(matrix)[-1])
