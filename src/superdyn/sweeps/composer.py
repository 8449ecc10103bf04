"""Composes many jobs quickly: Hydra once per choice of groups and set of keys, plain values on top.

Composing a defaults list costs Hydra 50–100 ms; the jobs of a grid share theirs, and a plain `key=value` only sets a
value in the result, which is what Hydra does with it too.
"""

import copy
from collections.abc import Callable, Sequence
from functools import cache

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf


class Composer:
    """Turns override lists into composed configurations, without Hydra's own node.

    Args:
        load: Hydra's own composition of one override list.
        is_group: whether a key names a configuration group.
    """

    def __init__(self, load: Callable[[list[str]], DictConfig], is_group: Callable[[str], bool]):
        # Hydra takes 50 ms to say whether a key is a group, and a grid asks for the same few keys in every job.
        self._load, self._is_group = load, cache(is_group)
        self._parser = OverridesParser.create()
        self._bases: dict[tuple[tuple[str, ...], frozenset[str]], DictConfig] = {}

    def __call__(self, job: Sequence[str]) -> DictConfig:
        """The configuration of one job, as Hydra composes it.

        Raises:
            HydraException, OmegaConfBaseException: what Hydra raises for an override that cannot be applied.
        """
        overrides = self._parser.parse_overrides(list(job))
        shaping = tuple(o.input_line or "" for o in overrides if not self._is_plain(o))
        # A base holds the values of its first job, so that Hydra itself refuses a wrong one; it serves only jobs that
        # set the same keys again, and so replace every one of those values.
        base = shaping, frozenset(o.key_or_group for o in overrides if self._is_plain(o))
        if base not in self._bases:
            self._bases[base] = without_hydra(self._load(list(job)))
        config = copy.deepcopy(self._bases[base])
        for override in overrides:
            if self._is_plain(override) and not override.key_or_group.startswith("hydra."):
                OmegaConf.update(config, override.key_or_group, override.value(), merge=True)
        return config

    def _is_plain(self, override: Override) -> bool:
        # A mapping is merged into what is there, which would keep keys of the base's first job.
        merges = isinstance(override.value(), dict)
        sets_value = not (merges or override.is_delete() or override.is_add() or override.is_force_add())
        return sets_value and override.package is None and not self._is_group(override.key_or_group)


def without_hydra(config: DictConfig) -> DictConfig:
    """The configuration without Hydra's own node, which is most of it and slow to copy."""
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
