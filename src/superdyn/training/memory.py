"""Whether a language model fits: estimated memory against what is free, and the smallest change that fits."""

import math
import os
from collections.abc import Iterator

import torch

from superdyn.config import ConfigError, RunConfig
from superdyn.config.decoder import DecoderSettings
from superdyn.config.sequence_rules import decoder_shape
from superdyn.config.token_rules import uneven_shards
from superdyn.features.device_draws import trains_on_gpu
from superdyn.models.decoder.memory import Training, training_bytes

RUNTIME_BYTES = 96 * 2**20
"""What libraries take of a process once it trains, besides any tensor."""
_EVALUATION_BYTES = 16
"""Of a token of the evaluation set: itself and its target."""
_SIZES = ("300M", "100M", "30M", "10M", "3M", "1M", "300k", "100k")


def free_bytes(config: RunConfig) -> int:
    """Free memory where the run trains: of the GPU, or of this machine for each of its ranks."""
    if trains_on_gpu(config.trainer):
        return torch.cuda.mem_get_info()[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // config.trainer.devices


def token_bytes(config: RunConfig) -> int:
    """Estimated memory of one language model and its evaluation set."""
    data, model, trainer = config.data, config.model, config.trainer
    assert data.tokens is not None, "checked with the configuration"
    how = Training(
        tokens=data.batch_size * data.length // (trainer.n_ranks * trainer.accumulate),
        word=8 if trainer.precision == "64-true" else 4,
        halved=trainer.precision == "bf16-mixed",
        recompute=trainer.checkpoint_activations,
        parts=trainer.accumulate,
        optimizer=config.optimizer.name,
        evaluated=data.tokens.eval_tokens,
        device="cuda" if trains_on_gpu(trainer) else "cpu",
        shards=trainer.n_ranks if trainer.shards else 1,
        compiled=trainer.compile,
    )
    return _EVALUATION_BYTES * data.tokens.eval_tokens + training_bytes(decoder_shape(model), data.n_features, how)


def check_memory(config: RunConfig, free: int | None = None) -> None:
    """Refuse a language model that does not fit in `free` bytes, by default those that are free now.

    Raises:
        ConfigError: with the smallest change that would fit, as far as the estimate goes.
    """
    free = free_bytes(config) if free is None else free
    needed = RUNTIME_BYTES + token_bytes(config)
    if needed <= free:
        return
    assert config.data.tokens is not None, "checked with the configuration"
    of_evaluation = _EVALUATION_BYTES * config.data.tokens.eval_tokens > free
    last = "a smaller data.tokens.eval_tokens" if of_evaluation else "a smaller vocabulary"
    fitting = next((text for text, changed in _smaller(config) if RUNTIME_BYTES + token_bytes(changed) <= free), last)
    raise ConfigError(
        f"model.decoder: this model needs an estimated {_gib(needed)}, and {_gib(free)} are free; the smallest change "
        f"that fits is {fitting}."
    )


def _smaller(config: RunConfig) -> Iterator[tuple[str, RunConfig]]:
    """Changes from the least to the greatest: those that leave the result as it is, then smaller models with them."""
    yield from _in_parts(config, "")
    yield from _in_shards(config)
    asked = decoder_shape(config.model)
    batch_follows = config.data.batch_size == asked.batch_sequences  # as ${dial:batch_size} has it
    for size in _SIZES:
        mapping = config.to_mapping()["model"]["decoder"]
        mapping |= {"size": size, "n_layers": None, "n_heads": None, "n_kv_heads": None}
        settings = DecoderSettings.from_mapping(mapping)
        shape = settings.shape(tied=config.model.tied)
        model = config.model.model_copy(update={"decoder": settings, "width": shape.width})
        batch = shape.batch_sequences if batch_follows else config.data.batch_size
        data = config.data.model_copy(update={"batch_size": batch})
        changed = config.model_copy(update={"model": model, "data": data})
        if batch % (config.trainer.n_ranks * config.trainer.accumulate) == 0:
            yield from _in_parts(changed, f"model.decoder.size={size} ")


def _in_shards(config: RunConfig) -> Iterator[tuple[str, RunConfig]]:
    """The parameters shared by the ranks that there are, or by all GPUs of this machine."""
    trainer, devices = config.trainer, config.trainer.devices
    text = "trainer.strategy=fsdp"
    if trainer.n_ranks == 1 and trains_on_gpu(trainer):
        devices = torch.cuda.device_count()
        text = f"trainer=fsdp trainer.devices={devices}"
    changed = config.model_copy(update={"trainer": trainer.model_copy(update={"strategy": "fsdp", "devices": devices})})
    parts = trainer.accumulate * changed.trainer.n_ranks
    if trainer.shards or not changed.trainer.shards or config.data.batch_size % parts or uneven_shards(changed):
        return
    yield from _in_parts(changed, text + " ")


def _in_parts(config: RunConfig, prefix: str) -> Iterator[tuple[str, RunConfig]]:
    """The same batch in more parts, first with the activations kept, then with them computed again."""
    trainer, batch = config.trainer, config.data.batch_size
    parts = [n for n in _divisors(batch // trainer.n_ranks) if n >= trainer.accumulate]
    for recompute in sorted({trainer.checkpoint_activations, True}):
        for n in parts:
            text = [f"trainer.accumulate={n}"] if n != trainer.accumulate else []
            text += ["trainer.checkpoint_activations=true"] if recompute != trainer.checkpoint_activations else []
            changed = trainer.model_copy(update={"accumulate": n, "checkpoint_activations": recompute})
            yield (prefix + " ".join(text)).strip(), config.model_copy(update={"trainer": changed})


def _divisors(number: int) -> list[int]:
    small = [n for n in range(1, math.isqrt(number) + 1) if number % n == 0]
    return small + [number // n for n in reversed(small) if n * n != number]


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
