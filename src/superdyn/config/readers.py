"""Which choices read which settings: the one table of the settings that do nothing beside some choices.

It holds settings that count in a run's signature and are not refused with the configuration (`rules.py`). A setting
that is not listed is always read. Choices of the user's own (update rule, student) are taken to read everything, since
what they read is not known. `sweeps/idle_settings.py` says when an unread setting is refused and when remarked on.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pydantic import BaseModel

from superdyn.config.schema import STUDENT, UPDATE_RULES, RunSettings

ONLY_REMARKED = ("data.batch_size", "optimizer.weight_decay_on")
"""Settings that are no mistake beside a choice that does not read them: scripts set them for exact runs and for the
controls without weight decay too. A launch that sets one trains, with a remark."""

ONLY_COMPARED = ("data.eval_size",)
"""Settings that have no effect on training, remarked on where runs of a launch differ in nothing else."""

_LANGUAGE_MODEL = "superdyn.models.language_model.TokenStudent"

_DEFAULTS = {"data.data_exponent": 1.0, "data.importance_exponent": 0.0}
"""Defaults, where they are not read, of settings for which the schema has none."""


@dataclass(frozen=True)
class _Reader:
    """A choice that reads a setting: the key that decides, for which configurations, and these in words."""

    decided_by: str
    reads: Callable[[RunSettings], bool]
    words: str


@dataclass(frozen=True)
class Unread:
    """A setting that differs from its default in a run that does not read it."""

    key: str
    value: Any
    default: Any
    decided_by: str
    choice: Any
    read_with: str

    def __str__(self) -> str:
        return (
            f"{self.key}={self.value}: is not read with {self.decided_by}={self.choice}, and trains as {self.key}="
            f"{self.default} does; it is read with {self.read_with}"
        )


def _rules(*names: str) -> _Reader:
    return _Reader(
        "optimizer.name",
        lambda run: run.optimizer.name in names or run.optimizer.name not in UPDATE_RULES,
        f"optimizer={', '.join(names[:-1])} or {names[-1]}",
    )


def _schedule(*names: str) -> _Reader:
    return _Reader(
        "optimizer.schedule", lambda run: run.optimizer.schedule in names, f"optimizer.schedule={' or '.join(names)}"
    )


def _source(*names: str) -> _Reader:
    return _Reader(
        "data.tokens.source",
        lambda run: run.data.tokens is None or run.data.tokens.source in names,
        f"data.tokens.source={' or '.join(names)}",
    )


def _decoder(key: str, reads: Callable[[Any], bool], words: str) -> _Reader:
    return _Reader(
        f"model.decoder.{key}",
        lambda run: run.model.decoder is None or reads(getattr(run.model.decoder, key)),
        f"model.decoder.{key}{words}",
    )


_MOMENTUM = _rules("sgd", "normalized", "muon")
_ADAM = _rules("adam", "adamw", "muon")
_FEATURES = _Reader("data.kind", lambda run: run.data.kind != "tokens", "data.kind=features or sequences")
_STEPS = _Reader("solver", lambda run: run.solver == "steps", "solver=steps")
_DRAWN = _Reader("loss", lambda run: run.loss != "population", "loss=sampled")
_MEASURED_ON_SAMPLES = _Reader(
    "model.activation",
    lambda run: run.model.target != STUDENT or run.model.activation != "linear",
    "model.activation=relu, or a student that is not of the linear family",
)
_HAS_CORE = _Reader(
    "model.core", lambda run: run.model.target != STUDENT or run.model.core == "trained", "model.core=trained"
)
_EMBEDS = _Reader(
    "model.encoder_init",
    lambda run: run.model.target != STUDENT or run.model.encoder_init != "identity" or run.model.train_encoder,
    "model.encoder_init=gaussian or orthogonal, or model.train_encoder=true",
)
_NO_LANGUAGE_MODEL = _Reader(
    "model._target_", lambda run: run.model.target != _LANGUAGE_MODEL, "students that read feature vectors"
)
_HAS_BLOCKS = _decoder("n_layers", lambda layers: layers != 0, " above 0")
_SHRINKS = _Reader(
    "optimizer.weight_decay", lambda run: run.optimizer.weight_decay > 0, "optimizer.weight_decay above 0"
)
_SCALED_AFTER = _Reader("optimizer.name", lambda run: run.optimizer.name != "normalized", "any other update rule")

READERS: dict[str, tuple[_Reader, ...]] = {
    "data.data_exponent": (_source("zipf", "bigram", "hierarchy"),),
    "data.importance_exponent": (_FEATURES,),
    "data.density": (_FEATURES,),
    "data.clip": (_FEATURES,),
    "data.value_law": (_FEATURES,),
    "data.lag": (_FEATURES,),
    "data.batch_size": (_DRAWN,),
    "data.sampler": (_FEATURES, _DRAWN),
    "data.eval_size": (_FEATURES, _MEASURED_ON_SAMPLES),
    "data.eval_sampling": (_FEATURES, _MEASURED_ON_SAMPLES),
    "data.tokens.strength": (_source("bigram"),),
    "data.tokens.depth": (_source("hierarchy"),),
    "data.tokens.rules": (_source("hierarchy"),),
    "model.tied": (_EMBEDS,),
    "model.encoder_init": (_NO_LANGUAGE_MODEL,),
    "model.core": (_NO_LANGUAGE_MODEL,),
    "model.core_init_scale": (_NO_LANGUAGE_MODEL, _HAS_CORE),
    "model.activation": (_NO_LANGUAGE_MODEL,),
    "model.bias": (_NO_LANGUAGE_MODEL,),
    "model.options": (
        _Reader(
            "model.name",
            lambda run: not run.model.target.startswith("superdyn."),
            "a student of your own, named by model._target_",
        ),
    ),
    "model.decoder.n_heads": (_HAS_BLOCKS,),
    "model.decoder.n_kv_heads": (_HAS_BLOCKS,),
    "model.decoder.mlp": (_HAS_BLOCKS,),
    "model.decoder.mlp_ratio": (_HAS_BLOCKS,),
    "model.decoder.residual_scaling": (_HAS_BLOCKS,),
    "model.decoder.rope_base": (_decoder("positions", lambda kind: kind == "rotary", "=rotary"), _HAS_BLOCKS),
    "optimizer.momentum": (_MOMENTUM,),
    "optimizer.nesterov": (_MOMENTUM,),
    "optimizer.betas": (_ADAM,),
    "optimizer.eps": (_ADAM,),
    "optimizer.clip_norm": (_STEPS, _SCALED_AFTER),
    "optimizer.weight_decay_on": (_SHRINKS,),
    "optimizer.final_fraction": (_schedule("cosine", "wsd"),),
    "optimizer.decay_power": (_schedule("inverse_power"),),
    "optimizer.decay_start": (_schedule("inverse_power"),),
    "optimizer.decay_fraction": (_schedule("wsd"),),
    "optimizer.decay_type": (_schedule("wsd"),),
}
"""What must hold for a setting to be read: every reader of its row."""


def keys_not_read(run: RunSettings) -> dict[str, str]:
    """The settings that cannot change this run, whatever their values, and the keys that decide it."""
    blind = {key: _blind(run, key) for key in READERS if _section(run, key) is not None}
    return {key: reader.decided_by for key, reader in blind.items() if reader is not None}


def unread_settings(run: RunSettings) -> list[Unread]:
    """Settings that differ from their defaults, and that this run does not read."""
    found = []
    for key in keys_not_read(run):
        value, default, reader = _value(run, key), _default(run, key), _blind(run, key)
        assert reader is not None
        if value != default:
            choice = _value(run, reader.decided_by)
            found.append(Unread(key, _shown(value), _shown(default), reader.decided_by, choice, reader.words))
    return found


def _blind(run: RunSettings, key: str) -> _Reader | None:
    """The first of the key's readers that this run is not."""
    return next((reader for reader in READERS[key] if not reader.reads(run)), None)


def _section(run: RunSettings, key: str) -> BaseModel | None:
    """What holds the key; None where the run has no such section."""
    parts = key.split(".")[:-1]
    return reduce(lambda section, part: section and getattr(section, part), parts, run)


def _value(run: RunSettings, key: str) -> Any:
    return getattr(_section(run, key), {"_target_": "target"}.get(name := key.rpartition(".")[2], name))


def _default(run: RunSettings, key: str) -> Any:
    if key in _DEFAULTS:
        return _DEFAULTS[key]
    section = _section(run, key)
    assert section is not None
    return type(section).model_fields[key.rpartition(".")[2]].get_default(call_default_factory=True)


def _shown(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
