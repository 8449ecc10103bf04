"""Refusals in one sentence for runs on tokens, and of what only those can do: their losses, bf16, accumulation.

What needs the files or the language itself is checked in `training/token_feasible.py`.
"""

from superdyn.config.decoder import DecoderShape
from superdyn.config.schema import RunSettings, TokensConfig
from superdyn.config.sequence_rules import decoder_shape
from superdyn.config.validation import ConfigError

TOKEN_LOSSES = ("cross_entropy", "probability_error", "logit_error")


def check_tokens(config: RunSettings) -> None:
    """Combinations of keys that cannot be meant.

    Raises:
        ConfigError: naming the keys, their values and what is allowed.
    """
    if config.data.kind == "tokens":
        _check_token_run(config)
        return
    if config.loss in TOKEN_LOSSES:
        raise ConfigError(
            f"loss={config.loss}: is a loss of next-token prediction, and data.kind={config.data.kind}; allowed are "
            f"sampled and population, or data=zipf_tokens and the other token data."
        )
    if config.model.name == "language_model":
        raise ConfigError(
            f"model=language_model: reads tokens, and data.kind={config.data.kind}; allowed with data=zipf_tokens, "
            f"bigram_tokens, hierarchy_tokens or token_files."
        )
    for key, value, allowed in (
        ("precision", config.trainer.precision == "bf16-mixed", "32-true or 64-true"),
        ("accumulate", config.trainer.accumulate > 1, "1"),
        ("checkpoint_activations", config.trainer.checkpoint_activations, "false"),
        ("strategy", config.trainer.strategy == "fsdp", "single or ddp"),
    ):
        if value:
            raise ConfigError(
                f"trainer.{key}={getattr(config.trainer, key)}: is for language models only, and data.kind="
                f"{config.data.kind}; allowed is {allowed}."
            )


def _check_token_run(config: RunSettings) -> None:
    data, model, trainer = config.data, config.model, config.trainer
    if config.loss not in TOKEN_LOSSES:
        raise ConfigError(
            f"loss={config.loss}: is a loss of features, and data.kind=tokens; allowed are {', '.join(TOKEN_LOSSES)}."
        )
    if model.decoder is None:
        raise ConfigError(
            f"data.kind=tokens: needs a model that reads tokens, and model.name={model.name} has no model.decoder; "
            f"use model=language_model."
        )
    shape = decoder_shape(model)
    shape.check_length(data.length)
    if data.tokens is None:
        raise ConfigError("data.tokens=None: data.kind=tokens needs the section data.tokens; use data=zipf_tokens.")
    _check_source(data.tokens)
    _check_optimizer(config, shape)
    if data.tokens.eval_tokens < data.length:
        raise ConfigError(
            f"data.tokens.eval_tokens={data.tokens.eval_tokens}: less than one sequence of data.length={data.length}; "
            f"allowed is {data.length} or more."
        )
    parts = trainer.accumulate * trainer.n_ranks
    if data.batch_size % parts:
        raise ConfigError(
            f"data.batch_size={data.batch_size}: trainer.accumulate={trainer.accumulate} on {trainer.n_ranks} ranks "
            f"takes equal parts of a batch; a multiple of {parts} is allowed, such as "
            f"{max(1, data.batch_size // parts) * parts}."
        )
    if trainer.shards and (uneven := uneven_shards(config)):
        raise ConfigError(uneven)


def uneven_shards(config: RunSettings) -> str | None:
    """Why some parameter cannot be cut into a shard for every rank, all of one size; None where all can be.

    All have an axis as wide as the model, but for some biases and for the unembedding of a factorised head.
    """
    shape, ranks = decoder_shape(config.model), config.trainer.n_ranks
    sizes = {"model.width": shape.width}
    if shape.bias and shape.n_layers:
        sizes["model.decoder.n_kv_heads times the width of a head"] = shape.n_kv_heads * shape.head_width
        sizes["model.decoder.mlp_ratio times model.width"] = shape.mlp_width
    if shape.head_rank is not None and config.data.n_features % ranks:
        sizes["model.decoder.head_rank"] = shape.head_rank
    for name, size in sizes.items():
        if size % ranks:
            return (
                f"trainer.strategy=fsdp: gives each of {ranks} ranks an equal share of every parameter, and {name} is "
                f"{size}; a multiple of {ranks} is allowed."
            )
    return None


def _check_optimizer(config: RunSettings, shape: DecoderShape) -> None:
    optimizer, model = config.optimizer, config.model
    if optimizer.name == "muon" and shape.n_layers == 0 and shape.head_rank is None:
        raise ConfigError(
            "optimizer=muon: orthogonalises the matrices of blocks, and model.decoder.n_layers=0 has none; allowed are "
            "sgd, normalized, adam and adamw."
        )
    of_embedding = optimizer.weight_decay > 0 and optimizer.weight_decay_on == "encoder"
    if of_embedding and model.tied and not model.train_encoder:
        raise ConfigError(
            f"optimizer.weight_decay={optimizer.weight_decay}: acts on the embedding (weight_decay_on=encoder), and "
            f"model.train_encoder=False; allowed are 0, or optimizer.weight_decay_on=all."
        )


def _check_source(tokens: TokensConfig) -> None:
    if tokens.source == "files" and not tokens.files:
        raise ConfigError(
            "data.tokens.files=[]: source=files needs a file, a folder or a pattern; make one with superdyn tokens."
        )
    if tokens.source != "files" and (tokens.files or tokens.eval_files):
        key = "files" if tokens.files else "eval_files"
        raise ConfigError(
            f"data.tokens.{key}={list(getattr(tokens, key))}: is read with data.tokens.source=files only, and the "
            f"source is {tokens.source}."
        )
