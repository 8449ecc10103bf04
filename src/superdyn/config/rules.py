"""Refusals in one sentence of what cannot be meant: combinations of keys whose types are right.

Settings that are possible and do nothing are in `readers.py`. Physics that needs the feature moments (the stability of
exact descent, the density that the cap allows) is checked in `training/feasible.py`.
"""

from superdyn.config.schema import STUDENT, UPDATE_RULES, ModelConfig, OptimizerConfig, RunSettings, StartConfig
from superdyn.config.validation import ConfigError


def check_run(config: RunSettings) -> None:
    """Combinations of keys that cannot be meant.

    Raises:
        ConfigError: naming the keys, their values and what is allowed.
    """
    _check_width(config.model, config.data.n_features)
    if config.optimizer.nesterov and config.optimizer.momentum == 0:
        raise ConfigError("optimizer.nesterov=True: needs optimizer.momentum above 0, which is 0.")
    if config.loss == "population" and config.model.activation != "linear":
        raise ConfigError(
            f"loss=population: the exact risk exists for linear students only, and model.activation="
            f"{config.model.activation}; use loss=sampled or model.activation=linear."
        )
    _check_schedule(config.optimizer)
    _check_start(config)
    _check_solver(config)
    _check_trained(config)
    _check_ranks(config)
    if config.trainer.matmul != "float32" and config.trainer.precision != "32-true":
        raise ConfigError(
            f"trainer.matmul={config.trainer.matmul}: rounds the operands of float32 products, and trainer.precision="
            f"{config.trainer.precision}; allowed with trainer.precision=32-true."
        )
    if config.optimizer.weight_decay < 0 and not config.model.train_encoder:
        raise ConfigError(
            f"optimizer.weight_decay={config.optimizer.weight_decay}: a negative weight decay grows the rows of a "
            f"trained embedding, and model.train_encoder=False; use 0 or a positive value."
        )
    if config.optimizer.options and config.optimizer.name in UPDATE_RULES:
        raise ConfigError(
            f"optimizer.options={config.optimizer.options}: are for an update rule of your own; "
            f"optimizer.name={config.optimizer.name} takes none."
        )
    if config.trainer.measures and config.trainer.shards:
        raise ConfigError(
            f"trainer.measures={list(config.trainer.measures)}: need unsharded parameters, and trainer.strategy="
            f"fsdp shards them; allowed with single and ddp."
        )
    a, b = config.data.data_exponent, config.data.importance_exponent
    if config.claim is not None and config.claim.needs_power_law and a + 2 * b <= 1:
        raise ConfigError(
            f"data.data_exponent={a}, data.importance_exponent={b}: this claim needs a + 2b > 1, and a + 2b = "
            f"{a + 2 * b:g}; without it the sum over features does not converge and there is no exponent."
        )


def _check_schedule(optimizer: OptimizerConfig) -> None:
    warmup, decay = optimizer.warmup_fraction, optimizer.decay_fraction
    if optimizer.schedule == "wsd" and warmup + decay > 1 + 1e-9:
        raise ConfigError(
            f"optimizer.decay_fraction={decay}: schedule=wsd decays after its warmup, and with "
            f"optimizer.warmup_fraction={warmup} both take {warmup + decay:g} of the steps; together at most 1 is "
            f"allowed."
        )


def _check_start(config: RunSettings) -> None:
    start = config.start
    if start.run is not None and config.solver == "gradient_flow":
        raise ConfigError(
            f"start.run={start.run!r}: solver=gradient_flow knows the initial values of a run only; use solver=steps."
        )
    for key in ("step", "optimizer", "data_step", "signature"):
        if start.run is None and getattr(start, key) != StartConfig.model_fields[key].default:
            raise ConfigError(
                f"start.{key}={getattr(start, key)}: is of the run that start.run names, which is null; give start.run "
                f"the folder of a run."
            )


def _check_solver(config: RunSettings) -> None:
    if config.solver == "steps":
        return
    needed = {
        "loss": (config.loss, "population"),
        "model.train_encoder": (config.model.train_encoder, False),
        "model.core": (config.model.core, "trained"),
        "model.bias": (config.model.bias, False),
        "model._target_": (config.model.target, STUDENT),
        "optimizer.name": (config.optimizer.name, "sgd"),
        "optimizer.momentum": (config.optimizer.momentum, 0.0),
        "optimizer.weight_decay": (config.optimizer.weight_decay, 0.0),
        "trainer.accelerator": (config.trainer.accelerator, "cpu"),
        "trainer.matmul": (config.trainer.matmul, "float32"),
    }
    for key, (value, allowed) in needed.items():
        if value != allowed:
            raise ConfigError(
                f"solver=gradient_flow: the closed form needs {key}={allowed}, and it is {value}; "
                f"use solver=steps or change {key}."
            )


def _check_ranks(config: RunSettings) -> None:
    trainer, ranks = config.trainer, config.trainer.n_ranks
    if ranks == 1:
        return
    asked = f"trainer.devices={trainer.devices}"
    if trainer.num_nodes > 1:
        asked += f", trainer.num_nodes={trainer.num_nodes}"
    if trainer.strategy == "single":
        raise ConfigError(
            f"{asked}: trainer.strategy=single trains a run on one device; to split every batch over several, use "
            f"trainer=ddp {asked.replace(', ', ' ')}; to give each device packs of a sweep, use launcher=local."
        )
    if config.solver == "gradient_flow" or config.loss == "population":
        key = "solver=gradient_flow" if config.solver == "gradient_flow" else "loss=population"
        raise ConfigError(
            f"{asked}: with {key} there is no batch to split, so all {ranks} ranks would do the same; allowed is 1."
        )
    if config.data.batch_size % ranks:
        raise ConfigError(
            f"data.batch_size={config.data.batch_size}: each of {ranks} ranks ({asked}) draws an equal slice of a "
            f"batch; a multiple of {ranks} is allowed, such as {max(1, config.data.batch_size // ranks) * ranks}."
        )


def _check_trained(config: RunSettings) -> None:
    """What the student family trains by itself: in a pack a part is there for all that one member trains."""
    model, optimizer = config.model, config.optimizer
    if model.train_encoder or not model.is_student:
        return
    if model.core == "identity" and not model.bias:
        raise ConfigError(
            "model.train_encoder=False, model.core=identity, model.bias=False: leave the student nothing to train; "
            "change any one of them, e.g. model.core=trained."
        )
    if model.core == "identity" and optimizer.name == "muon":
        raise ConfigError(
            "optimizer=muon: orthogonalises matrices, and only the bias trains; allowed are sgd, normalized, adam and "
            "adamw."
        )
    if optimizer.weight_decay > 0 and optimizer.weight_decay_on == "encoder":
        raise ConfigError(
            f"optimizer.weight_decay={optimizer.weight_decay}: acts on the embedding (weight_decay_on=encoder), and "
            f"model.train_encoder=False; allowed are 0, or optimizer.weight_decay_on=all."
        )


def _check_width(model: ModelConfig, n_features: int) -> None:
    width = model.width
    if model.name == "no_superposition" and width != n_features:
        raise ConfigError(
            f"model.width={width}: model=no_superposition has one dimension per feature, so the width must equal "
            f"data.n_features={n_features}; for a bottleneck use model=frozen_embedding or model=trained_embedding."
        )
    if model.encoder_init == "identity" and width != n_features:
        raise ConfigError(
            f"model.encoder_init=identity: needs model.width={width} equal to data.n_features={n_features}; "
            f"otherwise use orthogonal or gaussian."
        )
    if width > n_features and not model.allow_overcomplete:
        raise ConfigError(
            f"model.width={width}: larger than data.n_features={n_features}, so there is no superposition; allowed "
            f"are 1 to {n_features}, or any width with model.allow_overcomplete=true."
        )
