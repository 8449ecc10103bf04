"""Which parameters of a decoder are embeddings, matrices and vectors: what weight decay and update rules tell apart.

Embeddings (`encoder`, `decoder`) have a column per feature or token, and are what `weight_decay_on=encoder` and
row-norm growth act on; matrices are the linear maps of the blocks and the factor `head`; positions are the learned
ones, a table that is looked up; vectors are gains and biases, which are customarily left out of weight decay.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from torch import Tensor

Group = Literal["embedding", "matrix", "position", "vector"]

EMBEDDINGS = ("encoder", "decoder")
"""Parameters (r, k, n) with one row per feature, as column [:, :, i]."""


def parameter_groups(parameters: Iterable[tuple[str, Tensor]]) -> Mapping[Group, tuple[str, ...]]:
    """Names by group, in order; parameters have the run axis first."""
    groups: dict[Group, list[str]] = {"embedding": [], "matrix": [], "position": [], "vector": []}
    for name, parameter in parameters:
        groups[_group(name, parameter)].append(name)
    return {group: tuple(names) for group, names in groups.items()}


def _group(name: str, parameter: Tensor) -> Group:
    if name in EMBEDDINGS:
        return "embedding"
    if name.rpartition(".")[2] == "positions":
        return "position"
    return "matrix" if parameter.ndim == 3 else "vector"
