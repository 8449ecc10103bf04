"""One checkpoint in memory: its configuration, its weights, and what is wrong with it in one sentence.

`transformers` fills a weight that the file lacks with random numbers and only warns; here such a checkpoint is refused,
for its loss would be that of another model.
"""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from superdyn.config.validation import one_sentence
from superdyn.evaluate.source import CheckpointError, Location
from superdyn.runs.faults import fault_of

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Shape:
    """What the configuration of a causal language model says about its size.

    Attributes:
        vocabulary_size: V; width: k; context: most positions, None where there is no limit;
        mlp_width: of the MLPs, 4k where the configuration does not say; stored: the number type of the files.
    """

    vocabulary_size: int
    width: int
    context: int | None
    mlp_width: int
    stored: torch.dtype


def read_config(location: Location, revision: str) -> Any:
    """The checkpoint's configuration, of which no weight is read.

    Raises:
        CheckpointError: there is none, or it is not one of a model that transformers knows.
    """
    transformers = quiet_transformers()
    with _as_checkpoint_error(revision):
        return transformers.AutoConfig.from_pretrained(location.name, **location.keywords)


def shape_of(config: Any, revision: str) -> Shape:
    """Sizes from a configuration.

    Raises:
        CheckpointError: it is not one of a language model.
    """
    text = config.get_text_config()
    lacking = [name for name in ("vocab_size", "hidden_size") if not isinstance(getattr(text, name, None), int)]
    if lacking:
        kind = type(config).__name__
        raise CheckpointError(f"revision {revision}: {kind} is not a causal language model: it has no {lacking[0]}")
    width = text.hidden_size
    mlp = getattr(text, "intermediate_size", None)
    return Shape(
        vocabulary_size=text.vocab_size,
        width=width,
        context=getattr(text, "max_position_embeddings", None),
        mlp_width=mlp if isinstance(mlp, int) else 4 * width,
        stored=stored if isinstance(stored := getattr(text, "dtype", None), torch.dtype) else torch.float32,
    )


def load_model(location: Location, revision: str, dtype: torch.dtype, device: torch.device) -> torch.nn.Module:
    """The causal language model, ready to be evaluated.

    Raises:
        CheckpointError: it cannot be read, or lacks weights.
    """
    transformers = quiet_transformers()
    with _as_checkpoint_error(revision):
        model, found = transformers.AutoModelForCausalLM.from_pretrained(
            location.name, dtype=dtype, output_loading_info=True, **location.keywords
        )
    lacking = sorted(str(key) for key in found["missing_keys"])
    if lacking:
        raise CheckpointError(f"revision {revision}: its files lack {len(lacking)} weights, such as {lacking[0]}")
    return model.eval().requires_grad_(False).to(device)


def quiet_transformers() -> Any:
    """transformers without progress bars and load reports: what matters comes back as an error or a value."""
    transformers = importlib.import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity(logging.CRITICAL)
    importlib.import_module("huggingface_hub").utils.disable_progress_bars()
    return transformers


@contextmanager
def _as_checkpoint_error(revision: str) -> Iterator[None]:
    """What transformers, safetensors or the hub say about a checkpoint, as one sentence; no fault of memory or disk."""
    try:
        yield
    except Exception as error:  # a damaged file makes these libraries raise errors of many kinds
        if fault_of(error) != "run":
            raise
        raise CheckpointError(f"revision {revision}: cannot be loaded: {one_sentence(error)}") from None
