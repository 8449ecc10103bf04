"""The typed configuration: what a run is, which values are possible, and which may differ inside a pack."""

from superdyn.config.identity import INCIDENTAL_FIELDS, MEMBER_FIELDS
from superdyn.config.run import RunConfig, signature_of
from superdyn.config.schema import (
    ClaimConfig,
    DataConfig,
    LoggerConfig,
    ModelConfig,
    OptimizerConfig,
    TokensConfig,
    TrainerConfig,
)
from superdyn.config.validation import ConfigError

__all__ = [
    "INCIDENTAL_FIELDS",
    "MEMBER_FIELDS",
    "ClaimConfig",
    "ConfigError",
    "DataConfig",
    "LoggerConfig",
    "ModelConfig",
    "OptimizerConfig",
    "RunConfig",
    "TokensConfig",
    "TrainerConfig",
    "signature_of",
]
