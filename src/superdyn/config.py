"""The typed configuration: what a run is, which values are possible, and which may differ inside a pack.

Hydra composes YAML; `RunConfig.from_mapping` turns the result into these frozen objects and refuses a wrong key, type
or value with one sentence. Symbols (N, K, a, b, E) are those of arXiv 2602.01045.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from superdyn.decoder_settings import DecoderSettings
from superdyn.identity import INCIDENTAL_FIELDS, MEMBER_FIELDS, PACK_FIELDS, SWITCH_FIELDS, is_incidental, is_under
from superdyn.launcher_config import LauncherConfig
from superdyn.sections import Beta, Count, Finite, Fraction, NonNegative, Positive, Section
from superdyn.sequence_rules import TRANSFORMER, TRANSFORMER_MEMBER_FIELDS, check_sequences
from superdyn.token_validation import check_tokens
from superdyn.validation import ConfigError, check_run, validated

__all__ = ["INCIDENTAL_FIELDS", "MEMBER_FIELDS", "ConfigError", "RunConfig"]


class TokensConfig(Section):
    """Where tokens come from: a synthetic language of V = `data.n_features` words, or token files (docs/tokens.md).

    `strength` is the bigram language's λ; `depth` and `rules` are the hierarchy's; `bins` frequency bins carry the
    spectrum; `eval_tokens` are measured.
    """

    source: Literal["zipf", "bigram", "hierarchy", "files"] = "zipf"
    files: Annotated[tuple[str, ...], Field(strict=False)] = ()
    eval_files: Annotated[tuple[str, ...], Field(strict=False)] = ()
    strength: Fraction = 0.5
    depth: Count = 2
    rules: Count = 8
    bins: Count = 10
    eval_tokens: Count = 65_536


class DataConfig(Section):
    """Power-law sparse features: p_i = E·i^-a / Σ j^-a, importance A_ii = i^-b."""

    n_features: Count
    data_exponent: NonNegative
    importance_exponent: Finite
    density: Positive = 1.0
    clip: bool = False
    value_law: str = "uniform"
    batch_size: Count = 256
    sampler: Literal["sparse", "dense"] = "sparse"
    eval_size: Count = 8192
    eval_sampling: Literal["balanced", "plain"] = "balanced"
    kind: Literal["features", "sequences", "tokens"] = "features"
    length: Count = 1
    lag: Annotated[int, Field(ge=0)] = 0
    tokens: TokensConfig | None = None

    @property
    def samples_per_step(self) -> int:
        """Feature vectors in a batch: sequences times positions."""
        return self.batch_size * self.length


class ModelConfig(Section):
    """The student y = act(W_dᵀ B W_e x + c), or a user's class named by `_target_` with its own `options`."""

    target: str = Field(alias="_target_", default="superdyn.models.student.Student")
    name: str
    width: Count
    train_encoder: bool = True
    tied: bool = True
    encoder_init: Literal["identity", "orthogonal", "gaussian"] = "gaussian"
    core: Literal["trained", "identity"] = "trained"
    core_init_scale: NonNegative = 0.0
    activation: Literal["linear", "relu"] = "linear"
    bias: bool = False
    allow_overcomplete: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    decoder: DecoderSettings | None = None


class OptimizerConfig(Section):
    """One update rule, its learning-rate schedule and its weight decay (negative: row-norm growth of the embedding)."""

    name: Literal["sgd", "normalized", "adam", "adamw", "muon"]
    lr: Positive
    momentum: Beta = 0.0
    nesterov: bool = False
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = (0.9, 0.999)
    eps: Positive = 1e-8
    weight_decay: Finite = 0.0
    weight_decay_on: Literal["all", "encoder"] = "all"
    schedule: Literal["constant", "cosine", "inverse_power"] = "constant"
    warmup_fraction: Fraction = 0.0
    final_fraction: Fraction = 0.0
    decay_power: NonNegative = 0.5
    decay_start: Positive = 1.0


class TrainerConfig(Section):
    """How long and where a run trains; a step is an optimizer step."""

    max_steps: Count
    accelerator: Literal["cpu", "gpu", "auto"] = "cpu"
    devices: Count = 1
    num_nodes: Count = 1
    strategy: Literal["single", "ddp", "fsdp"] = "single"
    precision: Literal["32-true", "64-true", "bf16-mixed"] = "32-true"
    matmul: Literal["float32", "tf32", "bf16"] = "float32"
    deterministic: bool = False
    compile: bool = True
    accumulate: Count = 1
    checkpoint_activations: bool = False
    chunk_steps: Count = 64
    points_per_decade: Annotated[int, Field(ge=1, le=50)] = 25
    checkpoint_minutes: Positive = 1.0
    checkpoint_schedule: Literal["latest", "public"] = "latest"
    progress: bool = True

    @property
    def n_ranks(self) -> int:
        """Processes that train one run together, each on a device of its own."""
        return self.devices * self.num_nodes

    @property
    def shards(self) -> bool:
        """Whether each of them keeps a share of the parameters only."""
        return self.strategy == "fsdp" and self.n_ranks > 1


class LoggerConfig(Section):
    """Weights & Biases, offline unless WANDB_MODE says otherwise, or no logger."""

    name: Literal["wandb", "none"] = "none"
    project: str = "superdyn"
    entity: str | None = None
    tags: Annotated[tuple[str, ...], Field(strict=False)] = ()
    spectrum_bins: Count = 16


class SweepConfig(Section):
    """What one launch does: `retry` trains failed runs again, `plan` only says what would be trained."""

    retry: bool = False
    plan: bool = False


class ClaimConfig(Section):
    """What an experiment is expected to show, and who judges it (`analysis/claims`).

    `kind`: a `check` compares with exact theory and must pass; a `finding` of the paper is reported as held or not.
    """

    statement: str
    source: str
    judge: str
    kind: Literal["check", "finding"]
    expected: Finite
    tolerance: NonNegative
    minutes: dict[Literal["smoke", "mini", "full"], Positive]
    needs_power_law: bool = False


class RunConfig(Section):
    """One run: one model trained once from one configuration and one seed."""

    name: str = "train"
    tier: Literal["smoke", "mini", "full"] = "smoke"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    loss: Literal["sampled", "population", "cross_entropy", "probability_error", "logit_error"] = "sampled"
    solver: Literal["steps", "gradient_flow"] = "steps"
    data: DataConfig
    model: ModelConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    logger: LoggerConfig = LoggerConfig()
    launcher: LauncherConfig = LauncherConfig()
    sweep: SweepConfig = SweepConfig()
    claim: ClaimConfig | None = None
    notes: str = ""

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> "RunConfig":
        """Validate a composed configuration.

        Raises:
            ConfigError: one sentence that names the key, the value and what is allowed.
        """
        return validated(cls, mapping)

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
        if self.model.target == TRANSFORMER:
            shared += TRANSFORMER_MEMBER_FIELDS
        if self._switches_are_rates():
            shared += SWITCH_FIELDS
        same = {k: v for k, v in self.flat().items() if k in PACK_FIELDS or not is_under(k, shared)}
        return _digest(same | {"switches": self._switches_are_rates()})

    def _switches_are_rates(self) -> bool:
        return (
            self.model.target == ModelConfig.model_fields["target"].default
            and self.model.encoder_init != "identity"
            and self.loss == "sampled"
            and self.optimizer.name in ("sgd", "adam", "adamw")
        )


def signature_of(mapping: Mapping[str, Any]) -> str:
    """The signature of a run, from the content of its `config.yaml`."""
    return _digest({key: value for key, value in _flatten(mapping) if not is_incidental(key)})


def _flatten(mapping: Mapping[str, Any], prefix: str = ""):
    for key, value in mapping.items():
        if isinstance(value, Mapping) and value:
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
