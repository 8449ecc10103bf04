"""To which keys the interpolations of a composed configuration refer, judged from their text.

A key to which none refers can be given another value in the resolved configuration. Where the text does not settle
it (relative and nested references, resolvers that see the whole configuration), every key counts as referred to.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

_REFERENCE = re.compile(r"\$\{\s*([A-Za-z_][\w.]*)\s*\}")
_RESOLVER = re.compile(r"\$\{\s*(\w+)\s*:")

_READS = {
    "by_tier": ("tier",),
    "half": (),
    "share": (),
    "dial": ("model", "data.length", "tier"),
    "loss_of": ("data.kind",),
}
"""Resolvers of ours whose result depends on their arguments and on these keys alone."""


@dataclass(frozen=True)
class References:
    """The keys that are referred to, `known` where the text settles it, and the keys that can be set at all."""

    keys: frozenset[str]
    known: bool
    settable: frozenset[str]

    @classmethod
    def of(cls, config: DictConfig) -> "References":
        """The references in a configuration."""
        content = OmegaConf.to_container(config, resolve=False)
        leaves = dict(_leaves(content))
        texts = [text for value in leaves.values() for text in _strings(value) if "${" in text]
        resolvers = [name for text in texts for name in _RESOLVER.findall(text)]
        found = [name for text in texts for name in _REFERENCE.findall(text)]
        settled = len(found) + len(resolvers) == sum(text.count("${") for text in texts)
        implied = [key for name in resolvers for key in _READS.get(name, ())]
        known = settled and all(name in _READS for name in resolvers)
        return cls(frozenset((*found, *implied)), known, frozenset(leaves))

    def free(self, values: Mapping[str, object]) -> list[str]:
        """The keys among these whose value can be set in the resolved configuration, with nothing else to change.

        Args:
            values: all that is set, by dotted key.
        """
        if not self.known or any("${" in text for text in _strings(list(values.values()))):
            return []
        others = {key: self.keys | (values.keys() - {key}) for key in values}
        return [key for key in values if key in self.settable and not any(_overlap(key, o) for o in others[key])]


def _overlap(one: str, other: str) -> bool:
    return one == other or one.startswith(other + ".") or other.startswith(one + ".")


def _leaves(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _strings(item)
