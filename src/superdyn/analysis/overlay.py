"""The theory that belongs beside a measured run: its exact curve where there is one, and the finite-N null
for any run.

Exact: K = N, identity frozen embedding, linear, core from 0, plain SGD on the population loss (see
`superdyn.theory`). Null: the exact K = N curve of the same N, a, b, E and learning rate, which shows the
slope that a finite number of features gives with no superposition at all. Axis legend: `t` time, `n` feature,
`k` hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from superdyn.features.probabilities import feature_probabilities
from superdyn.features.values import value_law
from superdyn.models.embedding import initial_embedding
from superdyn.theory import frozen_embedding_loss, frozen_embedding_rate, spectral_loss

FlatConfig = Mapping[str, Any]

_OUR_STUDENT = "superdyn.models.student.Student"
_EXACT_KEYS: dict[str, Any] = {
    "model.train_encoder": False,
    "model.core": "trained",
    "model.core_init_scale": 0.0,
    "model.activation": "linear",
    "model.bias": False,
    "optimizer.name": "sgd",
    "optimizer.momentum": 0.0,
    "optimizer.weight_decay": 0.0,
}
"""What a configuration must say for the linear theory with a frozen embedding to apply."""


@dataclass(frozen=True)
class TheoryCurve:
    """A theoretical loss curve: (t,) or (t, n) values, what it is, and whether it is exact for this run."""

    loss: Float[np.ndarray, "t"] | Float[np.ndarray, "t n"]
    label: str
    exact: bool


def exact_loss(
    config: FlatConfig,
    steps: ArrayLike,
    lr_time: ArrayLike,
    *,
    per_feature: bool = False,
) -> TheoryCurve | None:
    """The theory of this run at its measurements, or None where there is none.

    `config` has dotted keys. A frozen embedding other than the identity, which the seed gives, has totals only. A run
    that starts from another has none: theory knows initial values only.
    """
    if config.get("model._target_", _OUR_STUDENT) != _OUR_STUDENT or reads_tokens(config) or is_started(config):
        return None
    if any(config[key] != value for key, value in _EXACT_KEYS.items()):
        return None
    square = config["model.width"] == config["data.n_features"]
    if square and config["model.encoder_init"] == "identity":
        curve = _spectral(config, steps, lr_time, per_feature)
    elif config["model.tied"] and not per_feature:
        curve = _frozen(config, steps, lr_time)
    else:
        return None
    return _with_doubts(curve, config)


def null_loss(
    config: FlatConfig, steps: ArrayLike, lr_time: ArrayLike, *, per_feature: bool = False
) -> TheoryCurve | None:
    """The exact K = N curve of the same finite N, a, b, E and learning rate; None for tokens, and for a run that starts
    from another, which has no initial values.

    On sequences it is that of y_t = B x_{t−k}, at any lag k: samples of a sequence are independent."""
    if reads_tokens(config) or is_started(config):
        return None
    return _spectral(config, steps, lr_time, per_feature)


def reads_tokens(config: FlatConfig) -> bool:
    """Whether the run predicts tokens, for which there is no theory yet."""
    return config.get("data.kind", "features") == "tokens"


def is_started(config: FlatConfig) -> bool:
    """Whether the run starts from a checkpoint of another."""
    return config.get("start.run") is not None


def lr_is_constant(config: FlatConfig) -> bool:
    """Whether every step has the same learning rate, so that steps and lr-time are one axis."""
    if is_flow(config):
        return False
    return config["optimizer.schedule"] == "constant" and config["optimizer.warmup_fraction"] == 0


def is_flow(config: FlatConfig) -> bool:
    """Whether the run is itself gradient flow, solved in closed form; its axis is lr-time."""
    return config.get("solver", "steps") == "gradient_flow"


def _spectrum(config: FlatConfig) -> dict[str, Any]:
    return {
        "data_exponent": float(config["data.data_exponent"]),
        "importance_exponent": float(config["data.importance_exponent"]),
        "density": float(config["data.density"]),
        "value_second_moment": value_law(config["data.value_law"]).second_moment,
    }


def _second_moments(config: FlatConfig) -> Float[np.ndarray, "n"]:
    """λ_i of every feature."""
    spectrum = _spectrum(config)
    p = feature_probabilities(int(config["data.n_features"]), spectrum["data_exponent"], spectrum["density"])
    return spectrum["value_second_moment"] * p


def _spectral(config: FlatConfig, steps: ArrayLike, lr_time: ArrayLike, per_feature: bool) -> TheoryCurve:
    """The spectral sum: step by step where the learning rate is constant and stable, else gradient flow at
    lr-time."""
    shape, n, lr = _spectrum(config), int(config["data.n_features"]), float(config["optimizer.lr"])
    if lr_is_constant(config) and lr * _second_moments(config)[0] < 2:
        loss = spectral_loss(steps, n_features=n, lr=lr, per_feature=per_feature, **shape)
        return TheoryCurve(loss, "K = N, gradient descent", True)
    loss = spectral_loss(lr_time, n_features=n, lr=1.0, dynamics="gradient_flow", per_feature=per_feature, **shape)
    return TheoryCurve(loss, "K = N, gradient flow at the lr-time", is_flow(config))


def _frozen(config: FlatConfig, steps: ArrayLike, lr_time: ArrayLike) -> TheoryCurve:
    """The solved frozen embedding: step by step where the learning rate is constant and stable, else gradient flow at
    lr-time."""
    shape = (config["model.encoder_init"], config["model.width"], config["data.n_features"])
    encoder, spectrum, lr = (
        initial_embedding(config["seed"], *shape, "encoder"),
        _spectrum(config),
        config["optimizer.lr"],
    )
    if lr_is_constant(config) and lr * frozen_embedding_rate(encoder, _second_moments(config)) < 2:
        loss = frozen_embedding_loss(steps, encoder, lr=lr, dynamics="gradient_descent", **spectrum)
        return TheoryCurve(loss, "frozen embedding, gradient descent", True)
    loss = frozen_embedding_loss(lr_time, encoder, lr=1.0, **spectrum)
    return TheoryCurve(loss, "frozen embedding, gradient flow at the lr-time", is_flow(config))


def _with_doubts(curve: TheoryCurve, config: FlatConfig) -> TheoryCurve:
    """The same curve, marked approximate where the run's data or loss depart from the theory's."""
    doubts = []
    if value_law(config["data.value_law"]).mean != 0:
        doubts.append("values have a mean")
    if config["loss"] != "population":
        doubts.append("sampled gradients")
    label = ", ".join([curve.label, *doubts])
    return TheoryCurve(curve.loss, label, curve.exact and not doubts)
