"""The keys of a run and of its sections: their types, ranges and defaults. Symbols (N, K, a, b, E) are those of
arXiv 2602.01045.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from superdyn.config.decoder import DecoderSettings
from superdyn.config.launcher import LauncherConfig
from superdyn.config.section import Beta, Count, Fraction, NonNegative, Positive, Section

STUDENT = "superdyn.models.student.Student"
TRANSFORMER = "superdyn.models.transformer.Transformer"


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
    importance_exponent: float
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
    def reads_files(self) -> bool:
        """Whether it is tokens of files, whose content is not in the configuration."""
        return self.tokens is not None and self.tokens.source == "files"

    @property
    def samples_per_step(self) -> int:
        """Feature vectors in a batch: sequences times positions."""
        return self.batch_size * self.length


class ModelConfig(Section):
    """The student y = act(W_dᵀ B W_e x + c), or a user's class named by `_target_` with its own `options`."""

    target: str = Field(alias="_target_", default=STUDENT)
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

    @property
    def is_student(self) -> bool:
        """Whether it is of superdyn's student family, and neither a transformer nor the user's own."""
        return self.target == STUDENT

    @property
    def is_transformer(self) -> bool:
        """Whether it is model=transformer, which reads feature vectors."""
        return self.target == TRANSFORMER


UPDATE_RULES = ("sgd", "normalized", "adam", "adamw", "muon")


def _known_or_own(name: str) -> str:
    if name not in UPDATE_RULES and "." not in name:
        raise ValueError(f"should be {', '.join(map(repr, UPDATE_RULES))}, or your own as 'package.module.Class'")
    return name


class OptimizerConfig(Section):
    """One update rule, its learning-rate schedule and its weight decay (negative: row-norm growth of the embedding).

    `options` are for a rule of the user's own.
    """

    name: Annotated[str, AfterValidator(_known_or_own)]
    lr: Positive
    momentum: Beta = 0.0
    nesterov: bool = False
    betas: Annotated[tuple[Beta, Beta], Field(strict=False)] = (0.9, 0.999)
    eps: Positive = 1e-8
    clip_norm: Positive | None = None
    weight_decay: float = 0.0
    weight_decay_on: Literal["all", "encoder"] = "all"
    schedule: Literal["constant", "cosine", "inverse_power", "wsd"] = "constant"
    warmup_fraction: Fraction = 0.0
    final_fraction: Fraction = 0.0
    decay_power: NonNegative = 0.5
    decay_start: Positive = 1.0
    decay_fraction: Fraction = 0.2
    decay_type: Literal["linear", "1-sqrt"] = "linear"
    options: dict[str, Any] = Field(default_factory=dict)


class StartConfig(Section):
    """The checkpoint of another run that a run starts from, at its own step 0 (docs/start_from.md).

    A launch fills in what is left out (`runs/start.py`): `step` is the last of a run that is done, `signature` the
    source's, `data_step` the step of the run's own data stream at which it goes on, after what its sources have drawn.
    """

    run: Annotated[str, Field(min_length=1)] | None = None
    step: Annotated[int, Field(ge=0)] | None = None
    optimizer: bool = True
    data_step: Annotated[int, Field(ge=0)] | None = None
    signature: str | None = None


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
    measures: Annotated[tuple[str, ...], Field(strict=False)] = ()
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
    expected: float
    tolerance: NonNegative
    minutes: dict[Literal["smoke", "mini", "full"], Positive]
    needs_power_law: bool = False


class RunSettings(Section):
    """All keys of one run, each possible by itself; a `RunConfig` (`run.py`) is possible as a whole too."""

    name: Annotated[str, Field(min_length=1)] = "train"
    tier: Literal["smoke", "mini", "full"] = "smoke"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    loss: Literal["sampled", "population", "cross_entropy", "probability_error", "logit_error"] = "sampled"
    solver: Literal["steps", "gradient_flow"] = "steps"
    data: DataConfig
    model: ModelConfig
    optimizer: OptimizerConfig
    trainer: TrainerConfig
    start: StartConfig = StartConfig()
    logger: LoggerConfig = LoggerConfig()
    launcher: LauncherConfig = LauncherConfig()
    sweep: SweepConfig = SweepConfig()
    claim: ClaimConfig | None = None
    notes: str = ""
