"""A run's configuration, its signature, and what it must share with the members of its pack.

Hydra composes YAML; `RunConfig.from_mapping` turns the result into these frozen objects and refuses a wrong key, type
or value with one sentence.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from superdyn.config.identity import (
    INCIDENTAL_FIELDS,
    MEMBER_FIELDS,
    PACK_FIELDS,
    SWITCH_FIELDS,
    TRANSFORMER_MEMBER_FIELDS,
    counts,
    is_under,
)
from superdyn.config.rules import check_run
from superdyn.config.schema import RunSettings
from superdyn.config.sequence_rules import check_sequences
from superdyn.config.token_rules import check_tokens
from superdyn.config.validation import validated
from superdyn.config.width import with_whole_width


class RunConfig(RunSettings):
    """One run: one model trained once from one configuration and one seed."""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "RunConfig":
        """Validate a composed configuration; a `model.width` such as `N/4` becomes the number that it means.

        Raises:
            ConfigError: one sentence that names the key, the value and what is allowed.
        """
        return validated(cls, with_whole_width(mapping))

    @model_validator(mode="after")
    def _possible(self) -> "RunConfig":
        check_run(self)
        check_sequences(self)
        check_tokens(self)
        return self

    def to_mapping(self) -> dict[str, Any]:
        """Plain nested dict (strings, numbers, lists), the content of `config.yaml`."""
        return self.model_dump(mode="json", by_alias=True)

    def flat(self) -> dict[str, Any]:
        """Dotted keys to plain values, e.g. `{"data.n_features": 64}`."""
        return dict(_flatten(self.to_mapping()))

    def signature(self) -> str:
        """Hex digest of everything that can change the result; names the run's folder and its W&B run."""
        return signature_of(self.to_mapping())

    def pack_key(self) -> str:
        """Equal for runs that can train as members of one pack: all but the member fields agree.

        Members may also differ in the switches of the student that leave every shape and operation as it is: a part
        that is not trained then has rate zero. Rules that look at all parameters of a member at once, exact gradients
        and the user's own students see too much of it. Transformers may differ in the scale of initial weights too.
        """
        shared = INCIDENTAL_FIELDS + MEMBER_FIELDS
        if self.model.is_transformer:
            shared += TRANSFORMER_MEMBER_FIELDS
        if self._switches_are_rates():
            shared += SWITCH_FIELDS
        same = {k: v for k, v in self.flat().items() if k in PACK_FIELDS or not is_under(k, shared)}
        return _digest(same | {"switches": self._switches_are_rates()})

    def _switches_are_rates(self) -> bool:
        return (
            self.model.is_student
            and self.model.encoder_init != "identity"
            and self.loss == "sampled"
            and self.optimizer.name in ("sgd", "adam", "adamw")
        )


def signature_of(mapping: Mapping[str, Any]) -> str:
    """The signature of a run, from the content of its `config.yaml`."""
    return _digest({key: value for key, value in _flatten(mapping) if counts(key, value)})


def _flatten(mapping: Mapping[str, Any], prefix: str = ""):
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
