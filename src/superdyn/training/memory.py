"""Whether a language model fits: estimated memory against what is free, and the smallest change that fits."""

import os
from collections.abc import Iterator

import torch

from superdyn.config import ConfigError, RunConfig
from superdyn.decoder_settings import DecoderSettings
from superdyn.models.decoder.memory import training_bytes
from superdyn.token_validation import uneven_shards

_SIZES = ("300M", "100M", "30M", "10M", "3M", "1M", "300k", "100k")


def free_bytes(config: RunConfig) -> int:
    """Free memory where the run trains: of the GPU, or of this machine for each of its ranks."""
    if config.trainer.accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // config.trainer.devices


def token_bytes(config: RunConfig) -> int:
    """Estimated memory of one language model and its evaluation set."""
    data, model, trainer = config.data, config.model, config.trainer
    assert model.decoder is not None, "checked with the configuration"
    assert data.tokens is not None, "checked with the configuration"
    micro = data.batch_size * data.length // (trainer.n_ranks * trainer.accumulate)
    return 16 * data.tokens.eval_tokens + training_bytes(
        model.decoder.shape(width=model.width, tied=model.tied),
        data.n_features,
        micro,
        word=8 if trainer.precision == "64-true" else 4,
        halved=trainer.precision == "bf16-mixed",
        recompute=trainer.checkpoint_activations,
        shards=trainer.n_ranks if trainer.shards else 1,
    )


def check_memory(config: RunConfig, free: int | None = None) -> None:
    """Refuse a language model that does not fit in `free` bytes, by default those that are free now.

    Raises:
        ConfigError: with the smallest change that would fit, as far as the estimate goes.
    """
    free = free_bytes(config) if free is None else free
    needed = token_bytes(config)
    if needed <= free:
        return
    fitting = next((text for text, changed in _smaller(config) if token_bytes(changed) <= free), "a smaller vocabulary")
    raise ConfigError(
        f"model.decoder: this model needs an estimated {_gib(needed)}, and {_gib(free)} are free; the smallest change "
        f"that fits is {fitting}."
    )


def _smaller(config: RunConfig) -> Iterator[tuple[str, RunConfig]]:
    """Changes from the least to the greatest: those that leave the result as it is, then smaller models with them."""
    yield from _in_parts(config, "")
    yield from _in_shards(config)
    for size in _SIZES:
        mapping = config.to_mapping()["model"]["decoder"]
        mapping |= {"size": size, "n_layers": None, "n_heads": None, "n_kv_heads": None}
        settings = DecoderSettings.from_mapping(mapping)
        width = settings.shape(tied=config.model.tied).width
        model = config.model.model_copy(update={"decoder": settings, "width": width})
        yield from _in_parts(config.model_copy(update={"model": model}), f"model.decoder.size={size} ")


def _in_shards(config: RunConfig) -> Iterator[tuple[str, RunConfig]]:
    """The parameters shared by the ranks that there are, or by all GPUs of this machine."""
    trainer, devices = config.trainer, config.trainer.devices
    text = "trainer.strategy=fsdp"
    if trainer.n_ranks == 1 and trainer.accelerator != "cpu" and torch.cuda.is_available():
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
    parts = [n for n in range(trainer.accumulate, batch + 1) if batch % (n * trainer.n_ranks) == 0]
    for recompute in sorted({trainer.checkpoint_activations, True}):
        for n in parts:
            text = [f"trainer.accumulate={n}"] if n != trainer.accumulate else []
            text += ["trainer.checkpoint_activations=true"] if recompute != trainer.checkpoint_activations else []
            changed = trainer.model_copy(update={"accumulate": n, "checkpoint_activations": recompute})
            yield (prefix + " ".join(text)).strip(), config.model_copy(update={"trainer": changed})


def _gib(count: int) -> str:
    return f"{count / 2**30:.2f} GiB"
