"""Superposition of a language model's two maps with a row per token: the input embedding and the unembedding.

Measures: `models/measures.py`. All rows count, also those of ids that the tokenizer never gives (the vocabulary of many
models is padded to a round number). Where the two share one matrix, they have the same measures.
"""

from typing import Any

import torch

from superdyn.models.measures import superposition_measures

EMBEDDING, UNEMBEDDING = "embedding", "unembedding"


@torch.inference_mode()
def embedding_measures(model: torch.nn.Module) -> dict[str, float]:
    """`embedding_*` and `unembedding_*`, each measure as one number.

    Raises:
        ValueError: the model has no embedding or no unembedding with a row per token.
    """
    found: dict[str, float] = {}
    previous: torch.Tensor | None = None
    for name, weight in _matrices(model).items():
        if previous is not None and weight.data_ptr() == previous.data_ptr() and weight.shape == previous.shape:
            found |= {key.replace(EMBEDDING, UNEMBEDDING, 1): value for key, value in found.items()}
            continue
        measures = superposition_measures(weight.mT.unsqueeze(0))
        found |= {f"{name}_{key}": float(value) for key, value in measures.items()}
        previous = weight
    return found


def _matrices(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    both = {EMBEDDING: "get_input_embeddings", UNEMBEDDING: "get_output_embeddings"}
    weights: dict[str, Any] = {name: getattr(getattr(model, getter)(), "weight", None) for name, getter in both.items()}
    for name, weight in weights.items():
        if weight is None or weight.ndim != 2:
            raise ValueError(f"it has no {name} matrix with a row per token")
    return weights
