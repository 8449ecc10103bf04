"""Composes many jobs quickly: Hydra once per choice of groups and set of keys, plain values on top.

Composing a defaults list costs Hydra 50–100 ms; the jobs of a grid share theirs, and a plain `key=value` only sets a
value in the result, which is what Hydra does with it too. Interpolations are resolved once per choice of the values
that they refer to; of a seed, to which none does, only the value itself is set.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from superdyn.sweeps.references import References


@dataclass(frozen=True)
class _Base:
    """A composition that serves all jobs of its groups and keys, and what its interpolations refer to."""

    config: DictConfig
    references: References


class Composer:
    """Turns override lists into composed configurations: plain mappings, resolved, without Hydra's own node.

    Args:
        load: Hydra's own composition of one override list.
        is_group: whether a key names a configuration group.
    """

    def __init__(self, load: Callable[[list[str]], DictConfig], is_group: Callable[[str], bool]):
        # Hydra takes 50 ms to say whether a key is a group, and a grid asks for the same few keys in every job.
        self._load, self._is_group = load, cache(is_group)
        self._parsed = cache(OverridesParser.create().parse_override)
        self._bases: dict[tuple[tuple[str, ...], frozenset[str]], _Base] = {}
        self._resolved: dict[object, dict[str, Any]] = {}

    def __call__(self, job: Sequence[str]) -> dict[str, Any]:
        """The configuration of one job, as Hydra composes it.

        Raises:
            HydraException, OmegaConfBaseException: what Hydra raises for an override that cannot be applied.
        """
        overrides = [self._parsed(text) for text in job]
        plain = [override for override in overrides if self._is_plain(override)]
        shaping = tuple(o.input_line or "" for o in overrides if not self._is_plain(o))
        # A base holds the values of its first job, so that Hydra itself refuses a wrong one; it serves only jobs that
        # set the same keys again, and so replace every one of those values.
        name = shaping, frozenset(override.key_or_group for override in plain)
        if name not in self._bases:
            config = without_hydra(self._load(list(job)))
            self._bases[name] = _Base(config, References.of(config))
        base = self._bases[name]
        values = {o.key_or_group: o.value() for o in plain if not o.key_or_group.startswith("hydra.")}
        free = base.references.free(values)
        variant = name, tuple((key, repr(value)) for key, value in values.items() if key not in free)
        if variant not in self._resolved:
            self._resolved[variant] = _resolved(base.config, values)
        return _with_values(self._resolved[variant], {key: values[key] for key in free})

    def _is_plain(self, override: Override) -> bool:
        # A mapping is merged into what is there, which would keep keys of the base's first job.
        merges = isinstance(override.value(), dict)
        sets_value = not (merges or override.is_delete() or override.is_add() or override.is_force_add())
        return sets_value and override.package is None and not self._is_group(override.key_or_group)


def without_hydra(config: DictConfig) -> DictConfig:
    """The configuration without Hydra's own node, which is most of it and slow to copy."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _resolved(base: DictConfig, values: Mapping[str, Any]) -> dict[str, Any]:
    config = copy.deepcopy(base)
    for key, value in values.items():
        OmegaConf.update(config, key, value, merge=True)
    content = OmegaConf.to_container(config, resolve=True)
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def _with_values(content: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with these values at their dotted keys; sections without any are shared."""
    result = dict(content)
    copied: dict[str, dict[str, Any]] = {"": result}
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        _section(section, copied)[name] = value
    return result


def _section(path: str, copied: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The section of the copy at this path, itself a copy from now on."""
    if path not in copied:
        above, _, name = path.rpartition(".")
        parent = _section(above, copied)
        parent[name] = copied[path] = dict(parent[name])
    return copied[path]
