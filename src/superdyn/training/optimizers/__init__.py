"""Stacked update rules, one file each; `make_optimizer` picks the one that a configuration names."""

from collections.abc import Mapping, Sequence

from jaxtyping import Float
from torch import Tensor

from superdyn.config import OptimizerConfig
from superdyn.training.optimizers.adam import Adam, AdamW
from superdyn.training.optimizers.decay import EMBEDDINGS
from superdyn.training.optimizers.muon import Muon
from superdyn.training.optimizers.normalized import NormalizedDescent
from superdyn.training.optimizers.protocol import StackedOptimizer
from superdyn.training.optimizers.sgd import SGD

_RULES = {"sgd": SGD, "normalized": NormalizedDescent, "adam": Adam, "adamw": AdamW, "muon": Muon}


def make_optimizer(
    parameters: Mapping[str, Float[Tensor, "r ..."]], configs: Sequence[OptimizerConfig]
) -> StackedOptimizer:
    """The update rule of a pack; `configs` differ in `lr` and `weight_decay` only.

    Raises:
        ValueError: when a key has a value that the rule would ignore.
    """
    assert len({config.model_copy(update={"lr": 1.0, "weight_decay": 0.0}) for config in configs}) == 1
    for config in configs:
        _check_momentum(config)
        _check_decay(config, parameters)
    return _RULES[configs[0].name](parameters, configs)


def _check_momentum(config: OptimizerConfig) -> None:
    if config.momentum and config.name not in ("sgd", "muon"):
        raise ValueError(f"optimizer.momentum={config.momentum}: {config.name} has none; allowed is 0.")
    if config.nesterov and not config.momentum:
        raise ValueError("optimizer.nesterov=True: needs momentum; allowed with optimizer.momentum > 0.")


def _check_decay(config: OptimizerConfig, parameters: Mapping[str, Tensor]) -> None:
    embedding_only = config.weight_decay < 0 or (config.weight_decay > 0 and config.weight_decay_on == "encoder")
    if embedding_only and not any(name in parameters for name in EMBEDDINGS):
        raise ValueError(
            f"optimizer.weight_decay={config.weight_decay}: acts on the embedding, and this model trains none "
            f"(its parameters: {sorted(parameters)}); allowed is 0, or a positive value on 'all'."
        )
