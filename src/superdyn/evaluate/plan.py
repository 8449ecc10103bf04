"""Everything that is settled before the first checkpoint is loaded: revisions, tokens, bins, memory, identity.

The identity is what a stored measurement depends on: model, tokens, windows and number type. Bins, steps and schedule
are not in it: they can be changed later, and nothing is measured again. Axis legend: `v` token of the vocabulary.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float64
from numpy import ndarray

from superdyn.config.validation import one_sentence
from superdyn.evaluate.checkpoint import Shape, quiet_transformers, read_config, shape_of
from superdyn.evaluate.frequencies import token_frequencies
from superdyn.evaluate.lr_schedule import lr_times
from superdyn.evaluate.memory import GIB, Load, check_memory, free_bytes, parameter_count
from superdyn.evaluate.revisions import AUTO, Revision, chosen_revisions
from superdyn.evaluate.settings import Settings
from superdyn.evaluate.source import CheckpointError, FolderSource, Source, open_source
from superdyn.evaluate.token_loss import EvaluationTokens
from superdyn.features.tokens.corpus import TokenCorpus
from superdyn.features.tokens.frequency import FrequencyBins, frequency_bins, occurrence_bins

DEFAULT_CONTEXT = 1024
_HUB_TRIES = 3


@dataclass(frozen=True)
class Plan:
    """An evaluation that is possible; `config` is the content of config.yaml."""

    settings: Settings
    source: Source
    revisions: Sequence[Revision]
    shape: Shape
    tokens: EvaluationTokens
    bins: Mapping[str, FrequencyBins]
    lr_times: Mapping[int, float]
    identity: Mapping[str, Any]
    config: Mapping[str, Any]

    @property
    def signature(self) -> str:
        """Hex digest of the identity."""
        return hashlib.sha256(json.dumps(dict(self.identity), sort_keys=True).encode()).hexdigest()


def make_plan(settings: Settings) -> Plan:
    """Read configurations and tokens, and check that all of it fits together and in memory.

    Raises:
        ValueError: it does not, in one sentence.
    """
    source = open_source(settings.model, settings.out, settings.keep_cache)
    names = source.names() if settings.revisions == AUTO else None
    revisions = chosen_revisions(settings.revisions, names, settings.step_pattern, settings.steps)
    shape, parameters = _first_shape(source, revisions)
    context = settings.context or min(DEFAULT_CONTEXT, shape.context or DEFAULT_CONTEXT)
    if shape.context is not None and context > shape.context:
        raise ValueError(
            f"--context={context}: the model has {shape.context} positions; allowed are 1 to {shape.context}."
        )
    load = Load(parameters, shape, settings.dtype, settings.batch, context)
    budget = free_bytes(torch.device(settings.device)) if settings.memory_gib is None else settings.memory_gib * GIB
    check_memory(load, int(budget))
    corpus = _corpus(settings, shape.vocabulary_size, context)
    tokens = EvaluationTokens(corpus, context, settings.batch, settings.max_tokens)
    frequencies = token_frequencies(settings.frequencies, corpus)
    identity = _identity(settings, source, shape, tokens)
    return Plan(
        settings=settings,
        source=source,
        revisions=revisions,
        shape=shape,
        tokens=tokens,
        bins={
            "occurrences": occurrence_bins(frequencies, settings.bins),
            "rank": frequency_bins(frequencies, settings.rank_bins),
        },
        lr_times=lr_times([each.step for each in revisions], settings.lr_schedule),
        identity=identity,
        config=_config(settings, identity, parameters, shape, frequencies),
    )


def _corpus(settings: Settings, vocabulary_size: int, context: int) -> TokenCorpus:
    try:
        corpus = TokenCorpus(settings.tokens, vocabulary_size)
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(f"--tokens with the model's vocabulary of {vocabulary_size}: {error}") from None
    if len(corpus) <= context:
        raise ValueError(
            f"--context={context}: --tokens hold {len(corpus)} tokens, which allow 1 to {len(corpus) - 1}."
        )
    return corpus


def _first_shape(source: Source, revisions: Sequence[Revision]) -> tuple[Shape, int]:
    """Shape and number of parameters of the first revision that can be opened."""
    first_error: Exception | None = None
    # A hub that refuses several has no such model or does not answer, and each answer can take long.
    tried = revisions if isinstance(source, FolderSource) else revisions[:_HUB_TRIES]
    for revision in tried:
        try:
            with source.open(revision.name) as location:
                config = read_config(location, revision.name)
                return shape_of(config, revision.name), parameter_count(location.folder, config)
        except ValueError as error:
            first_error = first_error or error
    raise ValueError(
        f"MODEL: none of {len(tried)} revisions can be opened; {one_sentence(first_error or CheckpointError())}."
    )


def _identity(settings: Settings, source: Source, shape: Shape, tokens: EvaluationTokens) -> dict[str, Any]:
    return {
        "model": str(source.root.resolve()) if isinstance(source, FolderSource) else source.model,
        "vocabulary_size": shape.vocabulary_size,
        "tokens": tokens.digest(),
        "context": tokens.context,
        "windows": tokens.n_windows,
        "dtype": settings.dtype,
    }


def _config(
    settings: Settings,
    identity: Mapping[str, Any],
    parameters: int,
    shape: Shape,
    frequencies: Float64[ndarray, "v"],
) -> dict[str, Any]:
    """The content of config.yaml: no key of a training, so that no reader takes it for one."""
    own = {
        "name": Path(settings.model).name,
        "files": list(settings.tokens),
        "batch": settings.batch,
        "device": settings.device,
        "bins": settings.bins,
        "rank_bins": settings.rank_bins,
        "frequencies": None if settings.frequencies is None else str(settings.frequencies),
        "lr_schedule": None if settings.lr_schedule is None else str(settings.lr_schedule),
        "parameters": parameters,
        "width": shape.width,
        "token_types": int((frequencies > 0).sum()),
        "transformers": quiet_transformers().__version__,
    }
    return {"kind": "evaluation", "evaluation": dict(identity) | own}
