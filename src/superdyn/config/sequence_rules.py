"""Refusals in one sentence about sequences of feature vectors and the transformer that reads them. Imports no torch."""

from typing import Any

from superdyn.config.decoder import DecoderShape
from superdyn.config.schema import ModelConfig, RunSettings
from superdyn.config.validation import ConfigError

_NOT_OF_A_TRANSFORMER: dict[str, Any] = {
    "train_encoder": True,
    "core": "trained",
    "core_init_scale": 0.0,
    "bias": False,
}
"""Switches of the student family that mean nothing here, and the value at which they are left."""


def check_sequences(config: RunSettings) -> None:
    """Combinations of keys of sequences and transformers that cannot be meant.

    Raises:
        ConfigError: naming the keys, their values and what is allowed.
    """
    data, model = config.data, config.model
    if data.kind == "features" and (data.length, data.lag) != (1, 0):
        raise ConfigError(
            f"data.length={data.length}, data.lag={data.lag}: data.kind=features are single vectors, of length 1 and "
            f"lag 0; for sequences use data=sequences."
        )
    if data.kind == "sequences":
        _check_lag(config)
    if model.is_student and model.decoder is not None:
        raise ConfigError(
            f"model.decoder: the student family (model={model.name}) has no blocks; allowed is null, or "
            f"model=transformer."
        )
    if model.is_transformer:
        _check_transformer(config)


def _check_lag(config: RunSettings) -> None:
    data = config.data
    if data.lag >= data.length:
        raise ConfigError(
            f"data.lag={data.lag}: reaches back further than a sequence of data.length={data.length} is long; "
            f"allowed are 0 to {data.length - 1}."
        )
    if data.lag and config.model.is_student:
        raise ConfigError(
            f"data.lag={data.lag}: the student family (model={config.model.name}) sees one position at a time; allowed "
            f"is 0, or model=transformer."
        )
    _check_sampled(config, "data.kind=sequences")


def _check_transformer(config: RunSettings) -> None:
    data, model = config.data, config.model
    if data.kind == "tokens":
        raise ConfigError("data.kind=tokens: model=transformer reads feature vectors; allowed are features, sequences.")
    if model.decoder is None:
        raise ConfigError("model.decoder=null: model=transformer needs its blocks; allowed are the keys of a decoder.")
    for key, value in _NOT_OF_A_TRANSFORMER.items():
        if getattr(model, key) != value:
            raise ConfigError(
                f"model.{key}={getattr(model, key)}: a switch of the student family; model=transformer allows {value} "
                f"only."
            )
    if model.encoder_init == "identity":
        raise ConfigError(
            "model.encoder_init=identity: model=transformer trains its embedding; allowed are orthogonal and gaussian."
        )
    _check_sampled(config, "model=transformer")
    decoder_shape(model).check_length(data.length)


def decoder_shape(model: ModelConfig) -> DecoderShape:
    """The shape of a model that has blocks."""
    assert model.decoder is not None
    return model.decoder.shape(width=model.width, tied=model.tied)


def _check_sampled(config: RunSettings, key: str) -> None:
    if config.loss != "sampled":
        raise ConfigError(f"loss={config.loss}: is not available with {key}; allowed is sampled.")
