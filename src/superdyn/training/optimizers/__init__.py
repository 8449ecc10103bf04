"""Stacked update rules, one file each; `make_optimizer` picks the one that a configuration names, or the user's own."""

from collections.abc import Mapping, Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from superdyn.config import MEMBER_FIELDS, ConfigError, OptimizerConfig
from superdyn.config.targets import resolve_target
from superdyn.models.decoder.groups import EMBEDDINGS, Group
from superdyn.training.optimizers.adam import Adam, AdamW
from superdyn.training.optimizers.fused_adamw import FusedAdamW
from superdyn.training.optimizers.muon import Muon
from superdyn.training.optimizers.normalized import NormalizedDescent
from superdyn.training.optimizers.protocol import StackedOptimizer
from superdyn.training.optimizers.sgd import SGD
from superdyn.training.sharding import UNSHARDED, Sharding

_RULES: dict[str, type[StackedOptimizer]] = {
    "sgd": SGD,
    "normalized": NormalizedDescent,
    "adam": Adam,
    "adamw": AdamW,
    "muon": Muon,
}


def rule_class(config: OptimizerConfig) -> type[StackedOptimizer]:
    """The update rule that `optimizer.name` names.

    Raises:
        ConfigError: it may not be named, cannot be imported, or is no `StackedOptimizer` with all it needs.
    """
    if config.name in _RULES:
        return _RULES[config.name]
    found = resolve_target("optimizer.name", config.name)
    if not (isinstance(found, type) and issubclass(found, StackedOptimizer)):
        raise ConfigError(
            f"optimizer.name={config.name!r}: must be a subclass of {StackedOptimizer.__module__}.StackedOptimizer."
        )
    missing = sorted(found.__abstractmethods__) + ["coupled_decay"] * (not hasattr(found, "coupled_decay"))
    if missing:
        raise ConfigError(f"optimizer.name={config.name!r}: lacks {', '.join(missing)}.")
    return found


def make_optimizer(
    parameters: Mapping[str, Float[Tensor, "r ..."]],
    configs: Sequence[OptimizerConfig],
    untrained: Mapping[str, Bool[Tensor, "r"]] | None = None,
    groups: Mapping[Group, Sequence[str]] | None = None,
    sharding: Sharding = UNSHARDED,
    *,
    fused: bool = False,
) -> StackedOptimizer:
    """The update rule of a pack; `configs` differ in learning rate, its schedule and weight decay only.

    `untrained` names the parameters that stand still in some members, and says in which. `groups` are those of a
    decoder: its gains and biases are left out of weight decay, as is customary, and Muon leaves all but the matrices
    of the blocks to AdamW. Without groups every parameter decays and Muon takes every matrix. With `sharding` the
    parameters are this rank's shards. `fused` gives AdamW the kernel for few members of many parameters.

    Raises:
        ValueError: for weight decay of the embedding where none is trained, and Muon where no matrix is.
    """
    own = {field.removeprefix("optimizer.") for field in MEMBER_FIELDS if field.startswith("optimizer.")}
    first, *others = (config.model_dump(exclude=own) for config in configs)
    assert all(other == first for other in others), "members of a pack share their optimizer"
    for config in configs:
        _check_decay(config, parameters)
    if configs[0].name == "muon" and groups is not None:
        optimizer = Muon(parameters, configs, sharding, elementwise=(*groups["embedding"], *groups["position"]))
    else:
        rule = FusedAdamW if fused and configs[0].name == "adamw" else rule_class(configs[0])
        optimizer = rule(parameters, configs, sharding)
    if groups is not None:
        optimizer.spare(groups["vector"])
    if untrained:
        optimizer.hold_still(untrained)
    return optimizer


def _check_decay(config: OptimizerConfig, parameters: Mapping[str, Tensor]) -> None:
    embedding_only = config.weight_decay < 0 or (config.weight_decay > 0 and config.weight_decay_on == "encoder")
    if embedding_only and not any(name in parameters for name in EMBEDDINGS):
        raise ValueError(
            f"optimizer.weight_decay={config.weight_decay}: acts on the embedding, and this model trains "
            f"none (its parameters: {sorted(parameters)}); allowed is 0, or a positive value on 'all'."
        )
